/** Cancellations of what HIS B was never sent, why ever it was not: HIS B hears nothing of it. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { mllpSource } from "../connectors/mllp/index.ts";
import { readMsh } from "../formats/hl7.ts";
import { exchanges } from "./exchanges.ts";
import { adtFor, cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { type TestExchange, until } from "./sites.ts";

const open = exchanges();
/** HIS B: what it was sent. */
let got: string[] = [];
let his: Awaited<ReturnType<typeof mllpSource.listen>> | undefined;
async function listen(port = 0): Promise<number> {
  his = await mllpSource.listen(
    mllpSource.options.parse({ host: "127.0.0.1", port }),
    async ({ body }) => {
      got.push(readMsh(Buffer.concat(await Array.fromAsync(body))).messageType.slice(0, 7));
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    { log: () => undefined, signal: new AbortController().signal },
  );
  return Number(his.address.slice(his.address.lastIndexOf(":") + 1));
}
afterEach(async () => {
  await his?.stop();
  [his, got] = [undefined, []];
});

let exchange: TestExchange;
const b = () => exchange.admin("hospital-b");
const report = cda({
  form: "113",
  extension: "UNSENT",
  patient: chen,
  code: "11502-2",
  display: "x",
  title: "t",
  body: "x",
});
const messages = async () => {
  const [record] = await b().get<readonly { readonly id: string }[]>("/records");
  const deliveries = record ? (await b().get<Traced>(`/trace/${record.id}`)).deliveries : [];
  return deliveries.filter(({ kind }) => kind === "message");
};
/** The report comes to hospital B, and its message to HIS B gets into this state; its id. */
async function sent(code: string): Promise<string> {
  await exchange.message(mdmFor(report, { controlId: "M1", name: "DOC1^HIS" }));
  await exchange.registered(1);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  const parked = async () => (await messages()).find((each) => each.state === "parked" && each.code === code);
  await until(`parked with ${code}`, async () => (await parked()) !== undefined);
  return (await parked())?.id ?? "";
}
const isCancelled = async (): Promise<boolean> => {
  const [record] = await b().get<readonly { readonly code: string | null }[]>("/records");
  return record?.code === "CANCELLED";
};
const haveEnded = async () => (await messages()).every(({ state }) => state === "discarded" || state === "delivered");

test("one that was given up while HIS B was down, and that a person has sent once more", async () => {
  const port = await listen();
  await his?.stop();
  exchange = await open({ RETRY: "100ms", B_HIS: `${port}` }, (yaml) => yaml.replace("for: 14d", "for: 3s"));
  const message = await sent("PEER_UNREACHABLE");
  await b().post(`/journal/${message}/resend`, { reason: "it is coming back" });
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("cancelled", isCancelled);
  await listen(port);
  await until("all have ended", haveEnded);
  expect((await messages()).map(({ state }) => state)).not.toContain("delivered");
  expect(got).toEqual([]);
});

test.each(["release", "resend"])("one that a transform of ours fails at, and a person's %s after it", async (act) => {
  const module = join(mkdtempSync(join(tmpdir(), "semrs-unsent-")), "fails.ts");
  writeFileSync(module, "export default () => { throw new Error('not this one'); };\n");
  exchange = await open({ RETRY: "100ms", B_HIS: `${await listen()}` }, (yaml) =>
    yaml.replace("    open: {", `    transform: [{ use: ${module} }]\n$&`),
  );
  const message = await sent("TRANSFORM_FAILED");
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("cancelled", isCancelled);
  writeFileSync(module, "export default () => undefined;\n");
  await b().post("/reload", { reason: "it is mended" });
  if (act === "resend") await b().post(`/journal/${message}/resend`, { reason: "it is mended" });
  else
    await b()
      .post(`/journal/${message}/release`, { reason: "it is mended" })
      .catch(() => undefined);
  await until("all have ended", haveEnded);
  expect((await messages()).map(({ state }) => state)).not.toContain("delivered");
  expect(got).toEqual([]);
});

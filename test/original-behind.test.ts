/** A report that comes to hospital B after what replaces it, while that is on its way to HIS B: it does not overtake it, whichever number of the patient each names first. */
import { afterEach, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { mllpSource } from "../connectors/mllp/index.ts";
import { readMsh } from "../formats/hl7.ts";
import { exchanges } from "./exchanges.ts";
import { nationalRoot } from "./fixtures/cda.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { type TestExchange, until } from "./sites.ts";

const open = exchanges();
/** HIS B: what it was sent, and until when it answers no replacement. */
let got: string[] = [];
let answering = Promise.resolve();
let his: Awaited<ReturnType<typeof mllpSource.listen>> | undefined;
async function listen(): Promise<string> {
  his = await mllpSource.listen(
    mllpSource.options.parse({ host: "127.0.0.1", port: 0 }),
    async ({ body }) => {
      const { messageType } = readMsh(Buffer.concat(await Array.fromAsync(body)));
      got.push(messageType.slice(0, 7));
      if (messageType.startsWith("MDM^T10")) await answering;
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    { log: () => undefined, signal: new AbortController().signal },
  );
  return his.address.slice(his.address.lastIndexOf(":") + 1);
}
afterEach(() => his?.stop());

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
/** The patient's own number stands first, or alone. */
const reportOfNational = (extension: string): Uint8Array =>
  Buffer.from(
    Buffer.from(report(extension))
      .toString("utf8")
      .replace(/<id extension="0034567"[^>]*>/, `<id extension="${chen.national}" root="${nationalRoot}"/>`),
  );

test.each(["patient", "none"])("delivery.order: %s", async (order) => {
  const port = await listen();
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  [got, answering] = [[], promise];
  const exchange: TestExchange = await open({ RETRY: "100ms", B_HIS: port }, (yaml) =>
    yaml
      .replaceAll("route: [repository]", "route: [hospital-b]")
      .replace("order: patient", `order: ${order}`)
      .replace('connect: "127.0.0.1:${B_HIS', "connections: 3, $&"),
  );
  const [a, b] = [exchange.admin("hospital-a"), exchange.admin("hospital-b")];
  const pushOf = async (controlId: string) =>
    (await a.get<Traced>(`/trace/${controlId}`)).deliveries.find(({ kind }) => kind === "push");
  await a.post("/stops/hospital-b/pause", { reason: "its line is down" });
  const names = (n: number) => ({ event: "MDM^T10^MDM_T02", name: `D${n}^HIS`, parent: `D${n - 1}^HIS` });
  await exchange.message(mdmFor(report("V.1"), { controlId: "M1", name: "D1^HIS" }));
  await exchange.message(mdmFor(report("V.2"), { controlId: "M2", ...names(2) }));
  await exchange.message(mdmFor(reportOfNational("V.3"), { controlId: "M3", ...names(3) }));
  for (const each of ["M1", "M2", "M3"]) await until("it waits", async () => (await pushOf(each)) !== undefined);
  // The last version comes first, the first one last.
  for (const each of ["M1", "M2"]) await a.post(`/journal/${(await pushOf(each))?.id}/discard`, { reason: "later" });
  await a.post("/stops/hospital-b/resume", { reason: "it is up" });
  await until("the last one is on the wire", () => got.length === 1);
  const waiting = async (): Promise<number> => {
    const { deliveries } = await b.get<{ readonly deliveries: readonly { readonly reason: string | null }[] }>(
      "/journal",
    );
    return deliveries.filter(({ reason }) => reason?.match(/^waits for .*, which goes first/)).length;
  };
  for (const [n, each] of ["M2", "M1"].entries()) {
    await a.post(`/journal/${(await pushOf(each))?.id}/resend`, { reason: "now" });
    await until(`${each} waits`, async () => (await waiting()) === n + 1);
  }
  answer();
  await until("all have ended", async () => {
    const records = await b.get<readonly { readonly id: string }[]>("/records");
    const all = await Promise.all(records.map(({ id }) => b.get<Traced>(`/trace/${id}`)));
    return all.flatMap(({ deliveries }) => deliveries).every(({ state }) => /delivered|discarded/.test(state));
  });
  expect(got).toEqual(["MDM^T10"]);
});

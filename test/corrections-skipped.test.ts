/** A report of which HIS B has the first version and not the second: the third one replaces what is there. */
import { afterEach, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { mllpSource } from "../connectors/mllp/index.ts";
import { readMsh } from "../formats/hl7.ts";
import { valuesOf } from "../formats/hl7-edit.ts";
import { exchanges } from "./exchanges.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { type TestExchange, until } from "./sites.ts";

const open = exchanges();
/** HIS B: what it was sent, with TXA-12 and TXA-13, and whether it refuses. */
let [got, isRefusing]: [string[], boolean] = [[], false];
let his: Awaited<ReturnType<typeof mllpSource.listen>> | undefined;
async function listen(): Promise<string> {
  [got, isRefusing] = [[], false];
  const refused = { accepted: false, code: "CDA_INVALID", reason: "refused" } as const;
  his = await mllpSource.listen(
    mllpSource.options.parse({ host: "127.0.0.1", port: 0 }),
    async ({ body }) => {
      const bytes = Buffer.concat(await Array.fromAsync(body));
      const facts = readMsh(bytes);
      const [one, other] = ["TXA-12.1", "TXA-13.1"].map((field) => valuesOf(bytes, facts, field)[0]?.split("^").at(-1));
      got.push(`${facts.messageType.slice(0, 7)} ${one} ${other ?? ""}`.trim());
      return { duplicate: false, answer: Promise.resolve(isRefusing ? refused : { accepted: true }) };
    },
    { log: () => undefined, signal: new AbortController().signal },
  );
  return his.address.slice(his.address.lastIndexOf(":") + 1);
}
afterEach(() => his?.stop());

const report = (n: number): Uint8Array =>
  cda({ form: "113", extension: `V${n}`, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });

let exchange: TestExchange;
const states = async (): Promise<readonly string[]> => {
  const b = exchange.admin("hospital-b");
  const records = await b.get<readonly { readonly id: string }[]>("/records");
  const all = await Promise.all(records.map(({ id }) => b.get<Traced>(`/trace/${id}`)));
  return all.flatMap(({ deliveries }) => deliveries).flatMap(({ kind, state }) => (kind === "message" ? [state] : []));
};
const names = (n: number) =>
  n === 1 ? { name: "D1^HIS" } : { event: "MDM^T10^MDM_T02", name: `D${n}^HIS`, parent: `D${n - 1}^HIS` };
const send = (n: number) => exchange.message(mdmFor(report(n), { controlId: `M${n}`, ...names(n) }));

test("HIS B refuses a version: the next one names what it has", async () => {
  exchange = await open({ RETRY: "100ms", B_HIS: await listen() });
  await send(1);
  await exchange.registered(1);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  await until("the first one is there", async () => (await states()).includes("delivered"));
  isRefusing = true;
  await send(2);
  await until("refused", async () => (await states()).includes("parked"));
  isRefusing = false;
  await send(3);
  await until("the third one is there", () => got.length === 3);
  expect(got).toEqual(["MDM^T02 V1", "MDM^T10 V2 V1", "MDM^T10 V3 V1"]);
});

test("a version that comes after the next one: HIS B is told that what it replaces is over", async () => {
  exchange = await open({ RETRY: "100ms", B_HIS: await listen() }, (yaml) =>
    yaml.replaceAll("route: [repository]", "route: [hospital-b]"),
  );
  const a = exchange.admin("hospital-a");
  const push = async (n: number) =>
    (await a.get<Traced>(`/trace/M${n}`)).deliveries.find(({ kind }) => kind === "push")?.id ?? "";
  await send(1);
  await until("the first one is there", async () => (await states()).includes("delivered"));
  await a.post("/stops/hospital-b/pause", { reason: "its line is down" });
  for (const n of [2, 3]) {
    await send(n);
    await until("it waits", async () => (await push(n)) !== "");
  }
  await a.post(`/journal/${await push(2)}/discard`, { reason: "later" });
  await a.post("/stops/hospital-b/resume", { reason: "it is up" });
  await until(
    "the third one is there",
    async () => (await states()).filter((each) => each === "delivered").length === 2,
  );
  await a.post(`/journal/${await push(2)}/resend`, { reason: "now" });
  await until("told", () => got.length === 3);
  await until("all have ended", async () => (await states()).every((each) => /delivered|discarded/.test(each)));
  expect(got).toEqual(["MDM^T02 V1", "MDM^T10 V3 V2", "MDM^T11 V1"]);
});

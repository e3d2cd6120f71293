/** Cancellations beside what a person decides at B: HIS B is told once, and gets nothing back of what it was told is cancelled. */
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { mllpSource } from "../connectors/mllp/index.ts";
import { readMsh } from "../formats/hl7.ts";
import { nationalRoot } from "./fixtures/cda.ts";
import { adtFor, cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
/** HIS B: what it was sent, whether it refuses reports, or answers nothing to one, and until when it answers no correction. */
let [got, isRefusing, answering]: [string[], boolean, Promise<void>] = [[], false, Promise.resolve()];
let silent: Promise<void> | undefined;
let his: Awaited<ReturnType<typeof mllpSource.listen>>;
let exchange: TestExchange;
async function listen(port: number): Promise<void> {
  const options = mllpSource.options.parse({ host: "127.0.0.1", port });
  const context = { log: () => undefined, signal: new AbortController().signal };
  const answer = { accepted: false, code: "CDA_INVALID", reason: "refused" } as const;
  his = await mllpSource.listen(
    options,
    async ({ body }) => {
      const { messageType } = readMsh(Buffer.concat(await Array.fromAsync(body)));
      got.push(messageType.slice(0, 7));
      if (/^MDM\^T1[01]/.test(messageType)) await answering;
      else await silent;
      const isRefused = isRefusing && /^MDM\^T(02|10)/.test(messageType);
      return { duplicate: false, answer: Promise.resolve(isRefused ? answer : { accepted: true }) };
    },
    context,
  );
}
const port = (): string => his.address.slice(his.address.lastIndexOf(":") + 1);
beforeEach(async () => {
  [got, isRefusing, answering, silent] = [[], false, Promise.resolve(), undefined];
  await listen(0);
  exchange = await openExchange(pki, { RETRY: "100ms", B_HIS: port() });
});
afterEach(async () => {
  await exchange.close();
  await his.stop();
});

type Line = { readonly id: string; readonly reason: string | null };
const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
/** The report at hospital B, with what became of the message that HIS B was sent. */
async function sent(state: string): Promise<{ readonly record: string; readonly message: string }> {
  await exchange.message(mdmFor(report("DECIDED"), { controlId: "M1", name: "DOC1^HIS" }));
  await exchange.registered(1);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  const at = async (): Promise<Traced | undefined> => {
    const [record] = await exchange.admin("hospital-b").get<readonly { readonly id: string }[]>("/records");
    return record && (await exchange.admin("hospital-b").get<Traced>(`/trace/${record.id}`));
  };
  const message = async () => (await at())?.deliveries.find((each) => each.kind === "message" && each.state === state);
  await until(`the message is ${state}`, async () => (await message()) !== undefined);
  return { record: (await at())?.records[0]?.id ?? "", message: (await message())?.id ?? "" };
}
const deliveries = async (record: string) =>
  (await exchange.admin("hospital-b").get<Traced>(`/trace/${record}`)).deliveries.filter(
    ({ kind }) => kind === "message",
  );

test("a report that HIS B refused, and was told is cancelled, does not go there once a person releases it", async () => {
  isRefusing = true;
  const { record, message } = await sent("parked");
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("told", () => got.includes("MDM^T11"));
  isRefusing = false;
  await until("kept", async () => (await deliveries(record)).some(({ state }) => state === "delivered"));
  await exchange.admin("hospital-b").post(`/journal/${message}/release`, { reason: "HIS B takes it now" });
  const released = async () => (await deliveries(record)).find(({ id }) => id === message);
  await until("ended", async () => !/parked|queued|inflight/.test((await released())?.state ?? ""));
  expect(await released()).toMatchObject({ state: "discarded", code: "CANCELLED" });
  expect(got).toEqual(["MDM^T02", "MDM^T11"]);
});

test("a report that HIS B refused does not go there after what replaces it, nor after what replaces that", async () => {
  isRefusing = true;
  await sent("parked");
  const replace = (n: number) => {
    const names = { event: "MDM^T10^MDM_T02", name: `DOC${n}^HIS`, parent: `DOC${n - 1}^HIS` };
    return exchange.message(mdmFor(report(`DECIDED.${n}`), { controlId: `M${n}`, ...names }));
  };
  const b = exchange.admin("hospital-b");
  const all = async () => {
    const records = await b.get<readonly { readonly id: string }[]>("/records");
    return (await Promise.all(records.map(({ id }) => deliveries(id)))).flat();
  };
  const parked = async () => (await all()).filter(({ state }) => state === "parked");
  await replace(2);
  await until("both are refused", async () => (await parked()).length === 2);
  isRefusing = false;
  await replace(3);
  await until("the last one is there", async () => (await all()).some(({ state }) => state === "delivered"));
  for (const { id } of await parked()) await b.post(`/journal/${id}/release`, { reason: "HIS B takes it now" });
  await until("ended", async () => (await all()).every(({ state }) => /delivered|discarded/.test(state)));
  expect((await all()).filter(({ code }) => code === "REPLACED").map(({ state }) => state)).toEqual(
    Array(2).fill("discarded"),
  );
  expect(got).toEqual(["MDM^T02", "MDM^T10", "MDM^T10"]);
});

test.each([
  ["what replaces it", "REPLACED", "MDM^T10"],
  ["its cancellation", "CANCELLED", "MDM^T11"],
])(
  "a report that is released while %s is on the wire to HIS B does not go there after it",
  async (_what, code, type) => {
    isRefusing = true;
    const { message } = await sent("parked");
    isRefusing = false;
    const { promise, resolve: answer } = Promise.withResolvers<void>();
    answering = promise;
    const names = { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" };
    await exchange.message(
      code === "REPLACED" ? mdmFor(report("DECIDED.2"), names) : cancelFor(names.controlId, names.parent),
    );
    await until("it is on the wire", () => got.includes(type));
    const b = exchange.admin("hospital-b");
    await b.post(`/journal/${message}/release`, { reason: "HIS B takes it now" });
    const { deliveries: lines } = await b.get<{ readonly deliveries: readonly Line[] }>("/journal");
    expect(lines.find(({ id }) => id === message)?.reason).toMatch(/^waits for .*, which goes first/);
    answer();
    const released = async () => (await b.get<Traced>(`/trace/${message}`)).deliveries.find(({ id }) => id === message);
    await until("ended", async () => !/parked|queued|inflight/.test((await released())?.state ?? ""));
    expect(await released()).toMatchObject({ state: "discarded", code });
    expect(got).toEqual(["MDM^T02", type]);
  },
);

test("a report that waits for HIS B when it is cancelled does not go there, nor does its cancellation", async () => {
  const b = exchange.admin("hospital-b");
  await b.post("/stops/his/pause", { reason: "it is being updated" });
  const { record } = await sent("queued");
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("both wait", async () => (await deliveries(record)).length === 2);
  await b.post("/stops/his/resume", { reason: "it is up" });
  const ended = async () =>
    (await deliveries(record)).filter(({ state, code }) => `${state} ${code}` === "discarded CANCELLED");
  await until("both have ended", async () => (await ended()).length === 2);
  expect(got).toEqual([]);
});

test("a report that a person has sent to HIS B once more is cancelled there once", async () => {
  const { record, message } = await sent("delivered");
  await exchange.admin("hospital-b").post(`/journal/${message}/resend`, { reason: "it was lost there" });
  await until("sent again", async () => (await deliveries(record)).every(({ state }) => state === "delivered"));
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  const all = () => deliveries(record);
  await until(
    "told",
    async () => (await all()).length > 2 && (await all()).every(({ state }) => state === "delivered"),
  );
  expect(got).toEqual(["MDM^T02", "MDM^T02", "MDM^T11"]);
});

const deferred = (code: string): boolean =>
  exchange.log.some((line) => line.event === "deliver.deferred" && line.fields.code === code);

test("a report that was tried while HIS B was down does not go there once it is cancelled, nor does its cancellation", async () => {
  await his.stop();
  const { record } = await sent("queued");
  await until("tried in vain", () => deferred("PEER_UNREACHABLE"));
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("both wait", async () => (await deliveries(record)).length === 2);
  await listen(Number(port()));
  await until("both have ended", async () => (await deliveries(record)).every(({ state }) => state === "discarded"));
  expect(got).toEqual([]);
});

const impatient = async (): Promise<void> => {
  await exchange.close();
  exchange = await openExchange(pki, { RETRY: "100ms", B_HIS: port() }, (yaml) => yaml.replace("for: 14d", "for: 3s"));
};

test("a report that is parked since HIS B was never reached does not go there once it is cancelled, nor does its cancellation", async () => {
  await impatient();
  await his.stop();
  const { record } = await sent("parked");
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("cancelled", async () => (await deliveries(record)).every(({ state }) => state !== "parked"));
  expect((await deliveries(record)).map(({ state, code }) => `${state} ${code}`)).toEqual(["discarded CANCELLED"]);
});

test("a report that HIS B may have got when this house ended, and that is parked, is cancelled there", async () => {
  await impatient();
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  silent = promise;
  const { record, message } = await sent("inflight");
  await exchange.stop("hospital-b");
  answer();
  await his.stop();
  await exchange.start("hospital-b");
  await until("parked", async () => (await deliveries(record)).every(({ state }) => state === "parked"));
  expect(await deliveries(record)).toMatchObject([{ id: message, code: "PEER_AMBIGUOUS" }]);
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("its cancellation waits", async () => (await deliveries(record)).length === 2);
  await listen(Number(port()));
  await until("told", () => got.length === 2);
  expect(got).toEqual(["MDM^T02", "MDM^T11"]);
});

test("a report that HIS B may have got before it went down goes there with its cancellation", async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  silent = promise;
  const { record } = await sent("inflight");
  const stopped = his.stop();
  await until("not answered", () => deferred("PEER_AMBIGUOUS"));
  answer();
  await stopped;
  await until("tried in vain", () => deferred("PEER_UNREACHABLE"));
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("both wait", async () => (await deliveries(record)).length === 2);
  silent = undefined;
  await listen(Number(port()));
  await until("both have ended", async () => (await deliveries(record)).every(({ state }) => state === "delivered"));
  expect(got).toEqual(["MDM^T02", "MDM^T02", "MDM^T11"]);
});

test("ambiguous: hold: a report of which a person found that HIS B has it, and ended it, is cancelled there", async () => {
  await exchange.close();
  exchange = await openExchange(pki, { RETRY: "100ms", B_HIS: port() }, (yaml) =>
    yaml.replace('connect: "127.0.0.1:${B_HIS', "ambiguous: hold, responseSeconds: 1, $&"),
  );
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  silent = promise;
  const { record, message } = await sent("parked");
  answer();
  await exchange.admin("hospital-b").post(`/journal/${message}/discard`, { reason: "HIS B has it" });
  await exchange.message(cancelFor("M2", "DOC1^HIS"));
  await until("cancelled", async () =>
    (await exchange.admin("hospital-b").get<Traced>(`/trace/${record}`)).steps.some(
      ({ event }) => event === "cancelled",
    ),
  );
  await until("told", () => got.length === 2);
  expect(got).toEqual(["MDM^T02", "MDM^T11"]);
});

/** A report in which the patient's own number stands first, or alone. */
const reportOfNational = (extension: string): Uint8Array =>
  Buffer.from(
    Buffer.from(report(extension))
      .toString("utf8")
      .replace(/<id extension="0034567"[^>]*>/, `<id extension="${chen.national}" root="${nationalRoot}"/>`),
  );

test.each([
  ["none", "cancellation", report],
  ["none", "replacement", report],
  ["patient", "replacement", reportOfNational],
])("delivery.order: %s: a %s waits for the report that is on the wire to HIS B", async (order, what, reportAfter) => {
  await exchange.close();
  exchange = await openExchange(pki, { RETRY: "100ms", B_HIS: port() }, (yaml) =>
    yaml.replace("order: patient", `order: ${order}`).replace('connect: "127.0.0.1:${B_HIS', "connections: 2, $&"),
  );
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  silent = promise;
  await sent("inflight");
  const names = { controlId: "M2", event: "MDM^T10^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" };
  await exchange.message(
    what === "cancellation" ? cancelFor("M2", "DOC1^HIS") : mdmFor(reportAfter("DECIDED.2"), names),
  );
  const b = exchange.admin("hospital-b");
  const waits = async () => {
    const { deliveries: lines } = await b.get<{ readonly deliveries: readonly Line[] }>("/journal");
    return lines.some(({ reason }) => reason?.match(/^waits for .*, which goes first/));
  };
  await until("it waits", waits);
  answer();
  await until("both are there", () => got.length === 2);
  expect(got).toEqual(["MDM^T02", what === "cancellation" ? "MDM^T11" : "MDM^T10"]);
});

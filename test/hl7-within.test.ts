/** `within`: a verdict that takes too long is answered as stored, and what it finds is quarantined; decided by order, not by time. */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Fault } from "../errors.ts";
import { loadConfig } from "../pipeline/config.ts";
import { openMessageIntake } from "../pipeline/intake-message.ts";
import { openMetrics } from "../pipeline/metrics.ts";
import { openPace, type Pace } from "../pipeline/pace.ts";
import { openRetention } from "../pipeline/retention.ts";
import type { Site } from "../pipeline/site.ts";
import type { Settled } from "../pipeline/verdicts.ts";
import { openStore } from "../store/index.ts";
import type { Store } from "../store/store.ts";
import { until } from "./sites.ts";

let store: Store | undefined;
let clock = Date.parse("2026-01-02T03:04:05Z");
const now = (): Date => new Date(clock);
afterEach(async () => await store?.close());

async function intakeWith(within: number | undefined, take: () => Promise<Settled>, change = {}) {
  const folder = mkdtempSync(join(tmpdir(), "semrs-within-"));
  store = await openStore({ folder, key: new Uint8Array(32), now });
  const config = loadConfig(join(import.meta.dirname, "..", "channels.yaml"), { SITE: "hospital-a" });
  const his = config.own.systems.his;
  const mllp = { ...his?.mllp, ...(within === undefined ? {} : { within }), ...change };
  const events: string[] = [];
  const site = {
    config: { ...config, own: { ...config.own, systems: { his: { ...his, mllp } } } },
    store,
    log: (event: string, _fields?: object, level = "info") => void (level === "error" && events.push(event)),
    metrics: openMetrics("hospital-a", store),
    now,
    signal: new AbortController().signal,
  } as unknown as Site;
  return { intake: openMessageIntake(site, take, patient()).intake, events, store, folder, site };
}
/** Whose rests are over at once. */
const patient = (): Pace => openPace(undefined, () => new Promise((resolve) => setImmediate(resolve)));
async function* one(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
const arrival = {
  body: one("MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|W1|P|2.5.1\r"),
  mediaType: "application/hl7-v2",
  controlId: "W1",
  sender: "test",
} as const;
const settled: Settled = { channel: null, state: "filtered", changes: [], begin: () => undefined };

test("the time runs out first: accepted, and the later finding is an alarm", async () => {
  const gate = Promise.withResolvers<Settled>();
  const { intake, events, store } = await intakeWith(1, () => gate.promise);
  const { answer } = await intake("his", {
    ...arrival,
    body: one("MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|W1|P|2.5.1\r"),
  });
  expect(await answer).toEqual({ accepted: true });
  gate.reject(new Fault("CDA_INVALID", "no patient"));
  await until("the verdict", () => store.arrivals.list({ state: "refused", limit: 1 }).length === 1);
  expect(events).toEqual(["validate.quarantined"]);
});

test("a repetition gets what the first one got, and does not wait for a verdict that the first one did not wait for", async () => {
  const gate = Promise.withResolvers<Settled>();
  const { intake, store } = await intakeWith(1, () => gate.promise);
  const text = "MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|W2|P|2.5.1\r";
  for (const sender of ["test", "another connection"])
    expect(await (await intake("his", { ...arrival, sender, body: one(text) })).answer).toEqual({ accepted: true });
  gate.resolve(settled);
  await until("the verdict", () => store.arrivals.list({ state: "filtered", limit: 9 }).length === 1);
});

const full = new Fault("STORE_FULL", "the disk is full; free space");
test.each([
  ["a full disk", "", { answer: "stored" }, [full, full, full, full, full, full]],
  ["what nobody foresaw", "", { answer: "stored" }, [new TypeError("busy")]],
  ["a full disk, of one that has CA and no more", "|||AL|NE", {}, [full]],
])(
  "a message that has its answer is judged again after %s, and no person is needed",
  async (_what, acks, change, fails) => {
    const left = [...fails];
    const { intake, store, events } = await intakeWith(
      undefined,
      async () => {
        const thrown = left.shift();
        if (thrown) throw thrown;
        return settled;
      },
      change,
    );
    const text = `MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|A1|P|2.5.1${acks}\rPID|1||1\r`;
    expect(await (await intake("his", { ...arrival, body: one(text) })).answer).toEqual({ accepted: true });
    await until("the verdict", () => store.arrivals.list({ limit: 1 })[0]?.state !== "accepted");
    expect([store.arrivals.list({ limit: 1 })[0]?.state, events, left]).toEqual(["filtered", [], []]);
  },
);

test("what fails so again and again is for a person", async () => {
  const { intake, store, events } = await intakeWith(undefined, () => Promise.reject(new TypeError("a defect")), {
    answer: "stored",
  });
  expect(
    await (await intake("his", { ...arrival, body: one("MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|A2|P|2.5.1\r") }))
      .answer,
  ).toEqual({
    accepted: true,
  });
  await until("the verdict", () => store.arrivals.list({ state: "refused", limit: 1 }).length === 1);
  expect(events).toEqual(["validate.quarantined"]);
});

test("what was answered before a stop, and fails after the next start, is an alarm as before it", async () => {
  const never = new Promise<Settled>(() => undefined);
  const { intake, store, site, events } = await intakeWith(undefined, () => never, { answer: "stored" });
  const text = "MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|A3|P|2.5.1\r";
  expect(await (await intake("his", { ...arrival, body: one(text) })).answer).toEqual({ accepted: true });
  const bad = (): Promise<Settled> => Promise.reject(new Fault("CDA_INVALID", "no patient"));
  await openMessageIntake(site, bad, patient()).resume();
  await until("the verdict", () => store.arrivals.list({ state: "refused", limit: 1 }).length === 1);
  expect(events).toEqual(["validate.quarantined"]);
});

test("a message that the disk has lost keeps no other from its verdict at the next start", async () => {
  const never = new Promise<Settled>(() => undefined);
  const { intake, store, folder, site, events } = await intakeWith(undefined, () => never, { answer: "stored" });
  const text = (id: string, rest = "") => `MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|${id}|P|2.5.1\r${rest}`;
  for (const each of [text("LOST", `NTE|1||${"x".repeat(100_000)}\r`), text("KEPT")])
    expect(await (await intake("his", { ...arrival, body: one(each) })).answer).toEqual({ accepted: true });
  const blobs = join(folder, "blobs");
  for (const file of readdirSync(blobs, { recursive: true, encoding: "utf8" }))
    if (statSync(join(blobs, file)).isFile()) rmSync(join(blobs, file));
  await openMessageIntake(site, async () => settled, patient()).resume();
  await until("the verdict", () => store.arrivals.list({ state: "filtered", limit: 1 }).length === 1);
  const rows = store.arrivals.list({ limit: 9 }).map(({ controlId, state }) => `${controlId} ${state}`);
  expect(rows.toSorted()).toEqual(["KEPT filtered", "LOST accepted"]);
  expect(events).toEqual(["validate.unread"]);
});

test("the finding comes first: refused, however long it takes to be written", async () => {
  const { intake, events } = await intakeWith(60_000, async () => {
    throw new Fault("CDA_INVALID", "no patient");
  });
  const { answer } = await intake("his", arrival);
  expect(await answer).toMatchObject({ accepted: false, code: "CDA_INVALID" });
  expect(events).toEqual([]);
});

test("without a limit the answer waits for the verdict", async () => {
  const gate = Promise.withResolvers<Settled>();
  const { intake, store } = await intakeWith(undefined, () => gate.promise);
  const kept = intake("his", {
    ...arrival,
    body: one("MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|W3|P|2.5.1\r"),
  });
  let isAnswered = false;
  const answered = kept.then(async ({ answer }) => {
    const verdict = await answer;
    isAnswered = true;
    return verdict;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(isAnswered).toBe(false);
  expect(store.arrivals.list({ limit: 1 })).toEqual([]);
  gate.resolve(settled);
  expect(await answered).toEqual({ accepted: true });
  expect(store.arrivals.list({ limit: 9 }).map(({ controlId, state }) => `${controlId} ${state}`)).toEqual([
    "W3 filtered",
  ]);
});

test("a control id of more than 24 hours ago is kept anew, and never only acknowledged", async () => {
  const { intake, store } = await intakeWith(undefined, async () => settled);
  const text = "MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|OLD|P|2.5.1\r";
  await (await intake("his", { ...arrival, body: one(text) })).answer;
  clock += 25 * 3600 * 1000;
  expect(await (await intake("his", { ...arrival, body: one(text) })).answer).toEqual({ accepted: true });
  expect(store.arrivals.list({ limit: 10 }).map(({ controlId, state }) => `${controlId} ${state}`)).toEqual([
    "OLD filtered",
    "OLD filtered",
  ]);
});

test("what another message kept while this one was judged is found by a second look, from the spool", async () => {
  const gate = Promise.withResolvers<void>();
  let looks = 0;
  const { intake, store } = await intakeWith(undefined, async () => {
    looks += 1;
    if (looks > 2) return { ...settled, code: "REPEATED" };
    if (looks === 2) gate.resolve();
    await gate.promise;
    const same = { org: "a", message: "1", digest: "", receipt: new Uint8Array(), at: "" };
    return { channel: "documents", state: "done", changes: store.messages.add(same), begin: () => undefined };
  });
  const texts = ["S1", "S2"].map((id) => `MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|${id}|P|2.5.1\r`);
  // Of two connections: those of one are judged one after the other.
  const kept = texts.map((text, n) => intake("his", { ...arrival, sender: `test ${n}`, body: one(text) }));
  for (const each of kept) expect(await (await each).answer).toEqual({ accepted: true });
  const rows = store.arrivals.list({ limit: 9 }).map(({ state, code }) => `${state} ${code}`);
  expect(rows.toSorted()).toEqual(["done null", "filtered REPEATED"]);
});

test("a large message of which only the frame is kept leaves no file behind", async () => {
  const frame = Buffer.from("MSH|^~\\&|HIS|A|SEMRS|A|20260102||MDM^T02|BIG|P|2.5.1\r");
  const { intake, store, folder, site } = await intakeWith(undefined, async () => ({
    ...settled,
    state: "done",
    frame,
  }));
  const files = (): readonly string[] =>
    readdirSync(join(folder, "blobs"), { recursive: true, encoding: "utf8" }).filter((file) => {
      const { size } = statSync(join(folder, "blobs", file));
      return size >= 100_000 && statSync(join(folder, "blobs", file)).isFile();
    });
  const whole = `${frame}NTE|1||${"x".repeat(100_000)}\r`;
  expect(await (await intake("his", { ...arrival, body: one(whole) })).answer).toEqual({ accepted: true });
  expect([store.arrivals.list({ limit: 1 })[0]?.state, files().length]).toEqual(["done", 1]);
  const retention = openRetention(site, () => clock);
  await retention.look();
  clock += 2 * 3600 * 1000;
  await retention.look();
  expect(files()).toEqual([]);
});

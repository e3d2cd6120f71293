/** Questions about one patient at the same time, which are answered with the same entry: its record comes once, and nothing waits for a person. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { afterFailure } from "../pipeline/delivery-decisions.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let exchange: TestExchange | undefined;
beforeAll(async () => {
  pki = await testPki();
});
afterEach(() => exchange?.close());

const report = cda({
  form: "113",
  extension: "TWICE.1",
  patient: chen,
  code: "1-8",
  display: "x",
  title: "t",
  body: "x",
});
type Counts = { readonly deliveries: Record<string, number>; readonly records: Record<string, number> };

test("four questions at once: one record, delivered once", async () => {
  exchange = await openExchange(pki, { RETRY: "50ms" });
  const { admin, message, documentsAtB, messagesAtB } = exchange;
  await message(mdmFor(report, { controlId: "M1" }));
  const traced = (): Promise<Traced> => admin("hospital-a").get<Traced>("/trace/M1");
  await until("registered", async () => (await traced()).records.some(({ state }) => state === "registered"));
  const question = {
    patientIds: [{ root: "2.16.886.101.20003.20001", extension: chen.national }],
    patient: { numbers: [{ id: "B1", issuer: "HOSPB", typeCode: "MR" }], familyName: "陳", givenName: "怡君" },
  };
  await Promise.all(Array.from({ length: 4 }, () => admin("hospital-b").post("/fetch", question)));
  await until("at HIS B", () => documentsAtB().has(sha256(report)));
  const counts = (): Promise<Counts> => admin("hospital-b").get<Counts>("/counts");
  const isOpen = ([state]: readonly [string, number]): boolean => !["delivered", "discarded"].includes(state);
  // A record's state follows its last delivery by one commit: both are waited for.
  await until("nothing is on its way", async () => {
    const { deliveries, records } = await counts();
    return ![...Object.entries(deliveries), ...Object.entries(records)].some(
      ([state, count]) => count > 0 && isOpen([state, count]),
    );
  });
  expect((await counts()).records).toEqual({ delivered: 1 });
  expect(await messagesAtB(1)).toHaveLength(1);
});

test("a retrieval that has brought its record keeps nothing of its patient, and asked for again finds the record here", async () => {
  exchange = await openExchange(pki, { RETRY: "50ms" });
  const { admin, message, documentsAtB, folder } = exchange;
  await message(mdmFor(report, { controlId: "M1" }));
  const traced = (): Promise<Traced> => admin("hospital-a").get<Traced>("/trace/M1");
  await until("registered", async () => (await traced()).records.some(({ state }) => state === "registered"));
  await admin("hospital-b").post("/fetch", {
    patientIds: [{ root: "2.16.886.101.20003.20001", extension: chen.national }],
    patient: { numbers: [{ id: "B1", issuer: "HOSPB", typeCode: "MR" }], familyName: "陳", givenName: "怡君" },
  });
  await until("at HIS B", () => documentsAtB().has(sha256(report)));
  const db = new DatabaseSync(join(folder, "data", "hospital-b", "semrs.db"), { readOnly: true });
  const retrievals = db.prepare(
    "SELECT id, state, length(payload) AS bytes FROM delivery WHERE kind = 'retrieve' ORDER BY id",
  );
  const steps = db.prepare("SELECT event, detail FROM step WHERE subject = ? AND event = 'dropped'");
  try {
    const [first] = retrievals.all();
    expect(first).toMatchObject({ state: "delivered", bytes: 0 });
    await admin("hospital-b").post(`/journal/${first?.id}/resend`, { reason: "a test" });
    await until("asked again", () => retrievals.all().at(-1)?.state === "delivered" && retrievals.all().length === 2);
    expect(steps.all(String(retrievals.all().at(-1)?.id))).toMatchObject([{ detail: "here already" }]);
  } finally {
    db.close();
  }
});

test("what an older version retrieved, and remembered by its manifest alone, is not asked for again", async () => {
  exchange = await openExchange(pki, { RETRY: "50ms" });
  const { admin, message, documentsAtB, folder, stop, start } = exchange;
  await message(mdmFor(report, { controlId: "M1" }));
  const traced = (): Promise<Traced> => admin("hospital-a").get<Traced>("/trace/M1");
  await until("registered", async () => (await traced()).records.some(({ state }) => state === "registered"));
  const fetches = async (): Promise<number> => {
    const { deliveries } = await admin("hospital-b").get<Counts>("/counts");
    return deliveries.delivered ?? 0;
  };
  const isQuiet = async (): Promise<boolean> =>
    Object.entries((await admin("hospital-b").get<Counts>("/counts")).deliveries).every(
      ([state, count]) => count === 0 || state === "delivered",
    );
  const ask = () =>
    admin("hospital-b").post("/fetch", {
      patientIds: [{ root: "2.16.886.101.20003.20001", extension: chen.national }],
      patient: { numbers: [{ id: "B1", issuer: "HOSPB", typeCode: "MR" }], familyName: "陳", givenName: "怡君" },
    });
  await ask();
  await until("at HIS B", () => documentsAtB().has(sha256(report)));
  await until("nothing is on its way", isQuiet);
  await stop("hospital-b");
  const db = new DatabaseSync(join(folder, "data", "hospital-b", "semrs.db"));
  db.exec("UPDATE ledger SET key = substr(key, -64) WHERE destination = 'retrieval'");
  db.close();
  await start("hospital-b");
  const before = await fetches();
  await ask();
  await until("answered", async () => (await fetches()) > before && (await isQuiet()));
  expect((await traced()).steps.filter(({ event }) => event === "released")).toHaveLength(1);
});

test("a conflict is looked at again: what somebody else committed is found then", () => {
  const at = {
    now: 1_000,
    age: 500,
    isClockOff: false,
    retry: { first: 10, max: 100, for: 1_000 },
    isHeld: false,
    random: 0,
  };
  const delivery = { attempts: 1, state: "queued" } as const;
  expect(afterFailure(delivery, "STORE_CONFLICT", at)).toEqual({ state: "queued", due: 1_010 });
  expect(afterFailure(delivery, "PEER_REFUSED", at)).toEqual({ state: "parked", due: at.now });
  // A clock that was set meanwhile makes a certificate look expired.
  expect(afterFailure(delivery, "ENVELOPE_NOT_OPENED", at).state).toBe("parked");
  expect(afterFailure(delivery, "ENVELOPE_NOT_OPENED", { ...at, isClockOff: true }).state).toBe("queued");
  // Not for ever: two that can never both be kept are a person's.
  expect(afterFailure(delivery, "STORE_CONFLICT", { ...at, age: 4_500 }).state).toBe("parked");
});

test("a record that was pushed is not asked for again when its patient comes", async () => {
  exchange = await openExchange(pki, { RETRY: "50ms" }, (yaml) =>
    yaml.replaceAll("route: [repository]", "route: [repository, hospital-b]"),
  );
  const { admin, message, documentsAtB, registered } = exchange;
  await message(mdmFor(report, { controlId: "M1" }));
  await registered(1);
  await until("at HIS B", () => documentsAtB().has(sha256(report)));
  await message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  const answers = async () =>
    (await admin("hospital-b").get<Traced>("/trace/ADT")).steps.filter(({ event }) => event === "answered");
  await until("answered", async () => (await answers()).length > 0);
  expect((await answers())[0]?.detail).toBe("1 entries, 0 new");
});

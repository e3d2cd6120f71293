/** What admissions do to fetching: a storm of them asks once, one that is taken back asks no more. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { adtFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let exchange: TestExchange;
afterEach(() => exchange.close());

const patient = "A223456781^^^MOI^NI";
const admit = (controlId: string, event = "A01", identifiers = patient) =>
  exchange.message(adtFor(identifiers, { controlId, event }), "B_ADT");
const asked = (): number =>
  exchange.log.filter(({ site, event }) => site === "registry" && event === "registry.answered").length;
const fetches = async (): Promise<Record<string, number>> =>
  (await exchange.admin("hospital-b").get<{ deliveries: Record<string, number> }>("/counts")).deliveries;

test("however often a patient is announced, the registry is asked once in 12 hours; another patient is asked for, none for training", async () => {
  exchange = await openExchange(pki, { EVERY: "12h", AGAIN_1: "10m", AGAIN_2: "20m" });
  for (const level of ["T", "D"]) {
    const training = Buffer.from(adtFor("A199999990^^^MOI^NI", { controlId: `TRAIN${level}` })).toString("utf8");
    await exchange.message(Buffer.from(training.replace("|P|2.5.1", `|${level}|2.5.1`)), "B_ADT");
  }
  for (let n = 1; n <= 20; n += 1)
    expect(await admit(`STORM${n}`, n % 2 ? "A01" : "A04")).toMatchObject({ detail: "AA" });
  await until("asked", () => asked() === 1);
  await admit("OTHER", "A01", "A145678902^^^MOI^NI");
  await until("asked for the other", () => asked() === 2);
  await until("the rest waits", async () => (await fetches()).queued === 6);
});

test("the same patient is asked for again when the time is over", async () => {
  exchange = await openExchange(pki, { EVERY: "1ms", AGAIN_1: "10m", AGAIN_2: "20m" });
  await admit("FIRST");
  await until("asked", () => asked() === 1);
  await admit("SECOND");
  await until("asked again", async () => (await fetches()).queued === 7 || asked() === 2);
});

test("ADT^A11 ends what was not asked yet, by any id of its patient; the next admission asks anew", async () => {
  exchange = await openExchange(pki, { EVERY: "12h", AGAIN_1: "10m", AGAIN_2: "20m" });
  await admit("IN");
  await until("asked", () => asked() === 1);
  expect(await admit("BACK", "A11")).toMatchObject({ detail: "AA" });
  await until("nothing waits", async () => ((await fetches()).queued ?? 0) === 0);
  expect((await fetches()).discarded).toBe(3);
  await admit("AGAIN");
  await until("asked anew", () => asked() === 2);
  // With fewer ids than the admission had, and with one that nobody was admitted under.
  await admit("TWO", "A01", "A145678902^^^MOI^NI~A111111111^^^MOI^NI");
  await until("asked for the other", () => asked() === 3);
  await until("the rest waits", async () => (await fetches()).queued === 6);
  await admit("NOBODY", "A11", "A100000001^^^MOI^NI");
  await admit("ONE", "A11", "A111111111^^^MOI^NI");
  await until("the first one's are left", async () => (await fetches()).queued === 3);
  expect((await fetches()).discarded).toBe(6);
});

test("the trace of an admission tells what the registry answered", async () => {
  exchange = await openExchange(pki, { AGAIN_1: "10m", AGAIN_2: "20m", AGAIN_3: "30m" });
  await admit("WHO");
  const traced = () => exchange.admin("hospital-b").get<{ steps: Record<string, unknown>[] }>("/trace/WHO");
  await until("answered", async () => (await traced()).steps.length > 2);
  const { steps } = await traced();
  expect(steps.map(({ station, event }) => `${station} ${event}`)).toEqual([
    "source received",
    "source accepted",
    "fetch answered",
  ]);
  expect(steps.at(-1)).toMatchObject({ peer: "registry", detail: "0 entries, 0 new" });
});

test("an admission of whom no authority is known here asks for nobody, and the journal says why", async () => {
  exchange = await openExchange(pki);
  for (const [n, identifiers] of ["B1", "B1^^^NOBODY^MR", ""].entries()) {
    expect(await admit(`NOBODY${n}`, "A01", identifiers)).toMatchObject({ detail: "AA" });
    const { arrivals } = await exchange.admin("hospital-b").get<Traced>(`/trace/NOBODY${n}`);
    expect(arrivals[0]).toMatchObject({ state: "filtered", code: "PATIENT_NOT_COMPARABLE" });
  }
  expect(await fetches()).toEqual({});
});

test("numbers that name no authority are of the system's, from the reload on that says so; what came before can be sent again", async () => {
  exchange = await openExchange(pki, { AGAIN_1: "10m", AGAIN_2: "20m" });
  expect(await admit("BARE", "A01", "B1^^^^MR")).toMatchObject({ detail: "AA" });
  const state = async () => {
    const { arrivals } = await exchange.admin("hospital-b").get<Traced>("/trace/BARE");
    return [arrivals[0]?.id, arrivals[0]?.state] as const;
  };
  const [id, before] = await state();
  expect([before, await fetches()]).toEqual(["filtered", {}]);
  const file = join(exchange.folder, "hospital-b.yaml");
  const yaml = readFileSync(file, "utf8");
  writeFileSync(
    file,
    yaml.replace("refusals: { AE: park, AR: retry } }\n      pacs", "authority: HOSPB }\n      pacs"),
  );
  expect(readFileSync(file, "utf8")).not.toBe(yaml);
  await exchange.admin("hospital-b").post("/reload", {});
  await exchange.admin("hospital-b").post(`/journal/${id}/resend`, { reason: "its authority is known now" });
  await until("it is asked for", () => asked() === 1);
  expect((await state())[1]).toBe("done");
  expect(await admit("NEXT", "A01", "B2")).toMatchObject({ detail: "AA" });
  await until("the next is asked for", () => asked() === 2);
});

/** What a house keeps of each message once it is delivered: its data folder on the disk, after a stop, beside what came in. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { AdminClient } from "../../commands/admin-client.ts";
import type { Item } from "../../connectors/connector.ts";
import { adtFor, chen } from "../../test/fixtures/documents.ts";
import type { Side, Workload } from "../harness.ts";
import { adtMessages, documentMessages, documentsOfOne, imagedReport, sendInstances } from "../load.ts";
import { sendMessages } from "../mllp-load.ts";
import { counted, type Exchange, startExchange } from "../subjects.ts";

const connections = 8;
/** As many as one question to the registry brings. */
const fetched = 50;
const images = 100;
/** What may be kept of a message: its payload and a tenth, and 2 KB. */
const allowed = (payload: number): number => Math.round((1.1 * payload + 2048) / 102.4) / 10;

type Kept = { readonly messages: number; readonly house: "hospital-a" | "hospital-b" };
/** Sends some messages, and resolves once all that follows is done. */
type Work = (exchange: Exchange, units: number) => Promise<Kept>;

const row = (name: string, payload: number, [units, quick]: readonly [number, number], work: Work): Workload => ({
  name: `kept of ${name}`,
  unit: "KB each",
  target: { most: allowed(payload) },
  units,
  quick,
  ours: { name: "semrs", start: () => keeping(work) },
  peers: [],
});

const [adt, mdm, ct] = [1_000, 37_000, 525_000] as const;

export const stored = (): readonly Workload[] => [
  row("an ADT of 1 KB", adt, [10_000, 2_000], async (exchange, units) => {
    await send(exchange, adtMessages(units));
    await counted("arrivals", units, async () => sum((await counts(exchange.a)).arrivals));
    return { messages: units, house: "hospital-a" };
  }),
  row("an MDM of 37 KB (a CDA of 30 KB), registered", mdm, [1_000, 100], async (exchange, units) => {
    await register(exchange, documentMessages(units));
    return { messages: units, house: "hospital-a" };
  }),
  row(
    "an MDM of 37 KB at the house that has fetched it, delivered",
    mdm,
    [fetched, fetched],
    async (exchange, units) => {
      await register(exchange, documentsOfOne(units));
      await admit(exchange, units);
      return { messages: units, house: "hospital-b" };
    },
  ),
  row("a CT image of 525 KB, registered with its report", ct, [images, images], async (exchange, units) => {
    await imaged(exchange, units);
    return { messages: units, house: "hospital-a" };
  }),
  row(
    "a CT image of 525 KB at the house that has fetched it, delivered",
    ct,
    [images, images],
    async (exchange, units) => {
      await imaged(exchange, units);
      await admit(exchange, 1);
      return { messages: units, house: "hospital-b" };
    },
  ),
];

/** Beside what an exchange keeps that has done nothing. */
async function keeping(work: Work): ReturnType<Side["start"]> {
  const empty = await keep(async () => ({ messages: 0, house: "hospital-a" }));
  return {
    stop: async () => undefined,
    run: async (units) => {
      const { bytes, messages } = await keep((exchange) => work(exchange, units));
      return { units: (bytes - empty.bytes) / messages / 1024, seconds: 1 };
    },
  };
}

async function keep(work: (exchange: Exchange) => Promise<Kept>): Promise<{ bytes: number; messages: number }> {
  const exchange = await startExchange();
  const { messages, house } = await work(exchange).finally(exchange.stop);
  return { bytes: sizeOf(exchange.ready[house].data), messages };
}

/** Blocks on the disk, not the length that files say. */
const sizeOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(join(folder, name)))
    .reduce((total, { blocks }) => total + blocks * 512, 0);

type Counts = { readonly arrivals: States; readonly records: States; readonly deliveries: States };
type States = Readonly<Record<string, number>>;
const counts = (admin: AdminClient): Promise<Counts> => admin.get<Counts>("/counts");
const sum = (states: States): number => Object.values(states).reduce((total, each) => total + each, 0);
const portOf = (address: string): number => Number(address.split(":").at(-1));

const send = ({ ready }: Exchange, items: readonly Item[]): Promise<void> =>
  sendMessages(items, portOf(ready["hospital-a"].mllp), connections);

async function register(exchange: Exchange, items: readonly Item[]): Promise<void> {
  await send(exchange, items);
  await counted("registered", items.length, async () => (await counts(exchange.a)).records.registered ?? 0);
}

async function imaged(exchange: Exchange, units: number): Promise<void> {
  const { report, instances } = imagedReport(units);
  await sendInstances(instances, portOf(exchange.ready["hospital-a"].dicom), "SEMRS_A", 4);
  await register(exchange, [report]);
}

/** The patient comes to B, which fetches the records and delivers them; each is proven to its author in the end. */
async function admit({ ready, b }: Exchange, records: number): Promise<void> {
  const admission = adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADM" });
  const item = { controlId: "ADM", size: admission.length, body: () => one(admission) };
  await sendMessages([item], portOf(ready["hospital-b"].admissions), 1);
  await counted("delivered", records, async () => (await counts(b)).records.delivered ?? 0);
  await counted("nothing left", 1, async () => {
    const { queued = 0, inflight = 0, ambiguous = 0 } = { ...(await counts(b)).deliveries };
    return queued + inflight + ambiguous === 0 ? 1 : 0;
  });
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

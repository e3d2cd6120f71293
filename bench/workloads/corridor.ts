/** The whole corridor: from the message at A to the registered record, and to the document at HIS B. No peer seals; none is beside it. */
import { readdirSync } from "node:fs";
import { adtFor, chen } from "../../test/fixtures/documents.ts";
import type { Side, Workload } from "../harness.ts";
import { documentMessages, documentsOfOne } from "../load.ts";
import { sendMessages } from "../mllp-load.ts";
import { counted, startExchange } from "../subjects.ts";

const connections = 8;

export const corridor = (): readonly Workload[] => [
  {
    name: "MDM^T02 with a 30 KB CDA in, sealed, stored and registered",
    unit: "records/s",
    target: { rate: 300 },
    // Sustained: registrations are gathered, and the last of them wait for nobody.
    units: 2_000,
    quick: 100,
    ours: registered,
    peers: [],
  },
  {
    name: "the same, fetched by the other house, opened, delivered to its HIS",
    unit: "documents/s",
    units: 40,
    quick: 20,
    ours: delivered,
    peers: [],
  },
];

const registered: Side = {
  name: "semrs",
  start: async () => {
    const exchange = await startExchange();
    const { pid, mllp } = exchange.ready["hospital-a"];
    const count = async (): Promise<number> =>
      (await exchange.a.get<{ records: Record<string, number> }>("/counts")).records.registered ?? 0;
    return {
      pid,
      stop: exchange.stop,
      run: async (units) => {
        const items = documentMessages(units);
        const before = await count();
        const started = performance.now();
        await sendMessages(items, Number(mllp.split(":")[1]), connections);
        // Asked more often, to be asked would be a thirtieth of what is measured.
        await counted("registered", before + units, count, 120_000, 100);
        return { units, seconds: (performance.now() - started) / 1000 };
      },
    };
  },
};

/** The ledger is HIS B's own: a file for each document it has taken. */
const delivered: Side = {
  name: "semrs",
  start: async () => {
    const exchange = await startExchange();
    const [a, b] = [exchange.ready["hospital-a"], exchange.ready["hospital-b"]];
    const atHis = (): number => readdirSync(b.his).filter((name) => name.endsWith(".cda")).length;
    const count = async (): Promise<number> =>
      (await exchange.a.get<{ records: Record<string, number> }>("/counts")).records.registered ?? 0;
    let admissions = 0;
    return {
      pid: b.pid,
      stop: exchange.stop,
      run: async (units) => {
        const [before, registeredBefore] = [atHis(), await count()];
        await sendMessages(documentsOfOne(units), Number(a.mllp.split(":")[1]), connections);
        await counted("registered", registeredBefore + units, count);
        admissions += 1;
        const controlId = `ADM${admissions}`;
        const admission = adtFor(`${chen.national}^^^MOI^NI`, { controlId });
        const started = performance.now();
        const item = { controlId, size: admission.length, body: () => one(admission) };
        await sendMessages([item], Number(b.admissions.split(":")[1]), 1);
        await counted("documents at HIS B", before + units, atHis);
        return { units, seconds: (performance.now() - started) / 1000 };
      },
    };
  },
};

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

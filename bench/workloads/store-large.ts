/** Houses with years in them: a million arrivals to search, the queue that an hour without its HIS has left. */
import { createHash, randomBytes } from "node:crypto";
import { examineDocument } from "../../formats/cda-pool.ts";
import { documentEntry } from "../../formats/document-entry.ts";
import { headerOf, type ReceivedFacts } from "../../pipeline/open.ts";
import { change } from "../../store/sqlite.ts";
import type { Change } from "../../store/store.ts";
import { chen } from "../../test/fixtures/documents.ts";
import { type FilledHouse, fillHouse, type Past } from "../filled-house.ts";
import { cpuOf, type Done, rssOf, type Workload } from "../harness.ts";
import { findings, reportFor } from "../load.ts";
import { openSink, type Sink } from "../sink.ts";
import { journalOf, searchAll } from "./journal-search.ts";

const patients = 1_000;
const text = (count: number): string => count.toLocaleString("en");

/** Filled in some four minutes; `isQuick`: with a twentieth of it. */
export const storeLarge = ({ isQuick }: { readonly isQuick: boolean }): readonly Workload[] => {
  const [arrivals, queued, hour] = [1_000_000, 100_000, 360_000].map((count) => (isQuick ? count / 20 : count));
  return workloads(arrivals ?? 0, queued ?? 0, hour ?? 0);
};

const workloads = (arrivals: number, queued: number, hour: number): readonly Workload[] => [
  {
    name: `journal search by each key, pages of 100 asked of the admin port, ${text(arrivals)} arrivals`,
    unit: "pages/s",
    target: { tailMs: 50, rssMb: 250 },
    units: 5_000,
    quick: 500,
    ours: {
      name: "semrs",
      start: async () => {
        const house = await fillHouse("hospital-a", 1, [], (past) => journalOf(past, arrivals));
        const living = await house.start();
        return {
          pid: living.pid,
          stop: living.end,
          run: async (units) => {
            const { admin } = living;
            const { channels } = await admin.get<{ channels: readonly { accepted: number }[] }>("/status", 120_000);
            const accepted = channels.reduce((sum, each) => sum + each.accepted, 0);
            if (accepted !== arrivals) throw new Error(`${accepted} of ${arrivals} arrivals are in the balance`);
            return await searchAll(admin, units, arrivals);
          },
        };
      },
    },
    peers: [],
  },
  {
    name: `start to ready with ${text(queued)} deliveries queued, their HIS away: 1 / time (0.67 is 1.5 s)`,
    unit: "1/s",
    target: { rate: 0.67, rssMb: 250 },
    units: 1,
    quick: 1,
    ours: { name: "semrs", start: () => starting(queued) },
    peers: [],
  },
  {
    name: `a HIS that was away for an hour, ${text(hour)} MDM of 30 KB, gets them on one connection`,
    unit: "messages/s",
    target: { rate: 1_000 },
    units: hour / 6,
    quick: hour / 6,
    ours: { name: "semrs", start: () => draining(hour) },
    peers: [],
  },
];

async function starting(queued: number) {
  const house = await awayHouse(1, queued);
  return {
    stop: async () => undefined,
    run: async (): Promise<Done> => {
      const { pid, readyMs, admin, end } = await house.start();
      const { deliveries } = await admin.get<{ deliveries: Record<string, number> }>("/counts");
      const cpuMs = cpuOf(pid);
      const rssMb = rssOf(pid);
      await end();
      const waiting = (deliveries.queued ?? 0) + (deliveries.inflight ?? 0);
      if (waiting !== queued) throw new Error(`${waiting} of ${queued} deliveries wait`);
      return { units: 1, seconds: readyMs / 1000, cpuMs, rssMb };
    },
  };
}

async function draining(hour: number) {
  const sink = await openSink();
  const house = await awayHouse(sink.port, hour);
  return {
    stop: sink.stop,
    run: async (units: number): Promise<Done> => {
      const { pid, end } = await house.start();
      const [before, cpu, started] = [sink.count(), cpuOf(pid), performance.now()];
      await sink.reached(before + units);
      const seconds = (performance.now() - started) / 1000;
      const cpuMs = cpuOf(pid) - cpu;
      const rssMb = rssOf(pid);
      await end();
      checkOrder(sink);
      return { units, seconds, cpuMs, rssMb };
    },
  };
}

/** Control ids are made of ids, which rise: of each patient they come in order, and each once. */
function checkOrder({ received, count }: Sink): void {
  const all = [...received.values()];
  for (const ids of all)
    for (const [n, id] of ids.entries())
      if (n > 0 && id <= (ids[n - 1] ?? "")) throw new Error("a message came twice, or overtook one of its patient");
  if (all.length > patients || all.flat().length !== count()) throw new Error("the sink cannot tell patients apart");
}

/** Hospital B with records of many patients in turn, each of which waits for the HIS at this port. */
async function awayHouse(port: number, count: number): Promise<FilledHouse> {
  const documents = Array.from({ length: patients }, (_, n) =>
    reportFor({ ...chen, national: `A${n}`, chart: `${n}` }, findings),
  );
  const facts: ReceivedFacts[] = [];
  for (const document of documents) {
    const { facts: cda } = await examineDocument(document);
    const sha256 = createHash("sha256").update(document).digest("hex");
    const entry = documentEntry(cda, { sha256, size: document.length, repositoryUniqueId: "hospital-a", images: null });
    facts.push({ entry, appends: null, instances: [], header: headerOf(cda) });
  }
  return await fillHouse("hospital-b", port, documents, (past) => waitingFor(past, documents, facts, count));
}

/** As large as those of one document are. */
const [manifestBytes, signatureBytes] = [1_200, 2_400] as const;

function* waitingFor(
  { tables: { records, deliveries, tokens }, newId, keep }: Past,
  documents: readonly Uint8Array[],
  facts: readonly ReceivedFacts[],
  count: number,
): Generator<readonly Change[]> {
  const first = Date.now() - 3_600_000;
  const [manifest, signature] = [randomBytes(manifestBytes), randomBytes(signatureBytes)];
  for (let n = 0; n < count; n += 1) {
    const at = new Date(first + (n * 3_600_000) / count);
    const [id, createdAt, document, entry] = [
      newId(at),
      at.toISOString(),
      documents[n % patients],
      facts[n % patients],
    ];
    if (!document || !entry) continue;
    const patient = tokens.of("patient", "", `A${n % patients}`);
    yield [
      ...records.add({
        ...{ id, channel: "incoming", origin: "received", author: "hospital-a", manifest, signature },
        ...{
          manifestSha256: id.repeat(2),
          key: tokens.of("document", "", id),
          parts: [{ n: 1, blob: keep(document) }],
        },
        ...{ patients: [patient], state: "opened", code: null, reason: null, entry, createdAt },
      }),
      deliveries.add({
        ...{ id: newId(at), kind: "message", channel: "incoming", destination: "his", order: patient, record: id },
        ...{ state: "queued", attempts: 1, due: at.getTime(), code: "PEER_UNREACHABLE", reason: "down", createdAt },
        payload: null,
      }),
      change("UPDATE kept SET bytes = ? WHERE record = ?", document.length, id),
    ];
  }
  yield [change("INSERT INTO kept_bytes SELECT channel, sum(bytes) FROM kept GROUP BY channel")];
}

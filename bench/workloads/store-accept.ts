/** The store alone: durable accepts of bodies by many callers. The ledger is the accept journal, which tells the groups too. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { sealWhole } from "../../envelope/index.ts";
import { type Accepted, walkJournal } from "../../store/accept-journal.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import type { Side, Workload } from "../harness.ts";
import { postgres } from "../postgres.ts";
import { fresh } from "../subjects.ts";

const callers = 64;
/** Of the index and of the accept journal. */
const syncsOfGroup = 2;

export const storeAccept = (): readonly Workload[] => [
  {
    name: `durable accepts of 1 KB, ${callers} callers, less than one sync each`,
    unit: "accepts/s",
    target: { rate: 5_000 },
    units: 10_000,
    quick: 2_000,
    ours: accepting(1024),
    peers: [postgres(1024, callers)],
  },
  {
    name: `durable accepts of 30 KB, ${callers} callers, less than one sync each`,
    unit: "accepts/s",
    target: { rate: 2_000 },
    units: 3_000,
    quick: 600,
    ours: accepting(30 * 1024),
    peers: [postgres(30 * 1024, callers)],
  },
];

const accepting = (size: number): Side => ({
  name: "semrs",
  start: async () => {
    const folder = join(fresh("store"), "data");
    const store = await openStore({ folder, key: randomBytes(32), now: () => new Date() });
    let before = 0;
    return {
      stop: store.close,
      run: async (units) => {
        const bodies = Array.from({ length: units }, () => randomBytes(size));
        const [started, cpu] = [performance.now(), process.cpuUsage()];
        await Promise.all(
          Array.from({ length: callers }, async () => {
            for (let body = bodies.pop(); body; body = bodies.pop()) await accept(store, body);
          }),
        );
        const seconds = (performance.now() - started) / 1000;
        const { user, system } = process.cpuUsage(cpu);
        const accepted = [...walkJournal(join(folder, "accept.journal"))].slice(before);
        before += units;
        const groups = new Set(accepted.map(({ group }: Accepted) => group)).size;
        if (accepted.length !== units) throw new Error(`${accepted.length} of ${units} are in the accept journal`);
        if (groups * syncsOfGroup >= units) throw new Error(`${groups * syncsOfGroup} syncs for ${units} accepts`);
        return { units, seconds, cpuMs: (user + system) / 1000 };
      },
    };
  },
});

async function accept(store: Store, body: Uint8Array): Promise<void> {
  const part = sealWhole(body);
  const blob = await store.blobs.put(part.cipher, part.facts);
  const id = store.newId();
  const { tokens } = store;
  const row = {
    id,
    source: "his",
    channel: null,
    mediaType: "application/hl7-v2",
    controlId: id,
    sender: "127.0.0.1:1",
    repetition: tokens.of("message", "his", id),
    digest: tokens.of("digest", "", blob.digest),
    blob: blob.name,
    state: "accepted",
    code: null,
    reason: null,
    receivedAt: new Date().toISOString(),
    facts: null,
  } as const;
  await store.commit([blob.change, store.arrivals.add(row)], [{ id, digest: blob.digest }]);
}

/** What the registry answers over the wire: envelopes, TLS, one commit each, asked by houses on the same machine that verify its answers. */
import { randomUUID } from "node:crypto";
import { readCommand } from "../../formats/command.ts";
import { documentOf, registration } from "../../test/exchange/indexed.ts";
import { cpuOf, type Done, rssOf, type Side, type Workload } from "../harness.ts";
import { type Nation, openNation } from "../nation.ts";

const houses = 8;
const batch = 50;
const patients = 200;
type Ask = (nation: Nation, n: number) => Promise<void>;

export const registryWire = (): readonly Workload[] => [
  {
    name: `registrations over the wire, one entry an envelope, ${houses} houses, each waits for its receipt`,
    unit: "registrations/s",
    target: { rate: 300 },
    units: 2_000,
    quick: 200,
    ours: registryOf(1, (nation, n) => register(nation, n, 1)),
    peers: [],
  },
  {
    name: `the same, ${batch} entries an envelope`,
    unit: "entries/s",
    target: { rate: 2_000 },
    units: 10_000,
    quick: 1_000,
    ours: registryOf(batch, (nation, n) => register(nation, n, batch)),
    peers: [],
  },
  {
    name: `queries over the wire for the documents of a patient, ${houses} houses`,
    unit: "queries/s",
    target: { rate: 150 },
    units: 1_000,
    quick: 100,
    ours: registryOf(1, query, async (nation) => {
      for (let n = 0; n < patients / batch; n += 1) await register(nation, n, batch);
    }),
    peers: [],
  },
];

export const patientOf = (n: number) => ({ root: "2.16.886.101", extension: `W${n % patients}` });

/** Entries of new documents, of one patient after the other. */
export function submission(org: string, first: number, count: number): Uint8Array {
  const entries = Array.from({ length: count }, (_, at) => {
    const name = randomUUID();
    const patientIds = [patientOf(first + at)];
    return documentOf(name, { patientIds, referenceIdList: [`A${name}`], repositoryUniqueId: org });
  });
  return registration(entries, randomUUID().replaceAll("-", ""));
}

export const question = (n: number): Uint8Array =>
  Buffer.from(
    JSON.stringify({
      ...{ command: "query", query: "findDocuments", purposeOfUse: "TREAT", limit: 50, forms: ["113"] },
      patientIds: [patientOf(n)],
    }),
  );

async function register({ callers }: Nation, n: number, count: number): Promise<void> {
  const caller = callers[n % callers.length];
  if (!caller) throw new Error("no houses");
  const receipt = await caller.ask("register", submission(caller.org, n * count, count));
  if (receipt.length === 0) throw new Error("no receipt");
}

async function query({ callers }: Nation, n: number): Promise<void> {
  const { entries } = readCommand(
    "found",
    (await callers[n % callers.length]?.ask("query", question(n))) ?? Buffer.of(),
  );
  if (entries.length === 0) throw new Error("a patient without documents");
}

/** The first run is profiled, and tells where the registry's time goes; those that are timed are not. */
function registryOf(size: number, ask: Ask, prepare: (nation: Nation) => Promise<void> = async () => undefined): Side {
  return {
    name: "semrs",
    start: async () => {
      const nation = await openNation(houses);
      await prepare(nation);
      const pid = nation.registry.pid();
      let [n, note]: [number, string | undefined] = [0, undefined];
      const load = async (units: number): Promise<number> => {
        let [done, begun] = [0, 0];
        await Promise.all(
          nation.callers.map(async () => {
            while (begun < units) {
              n += 1;
              begun += size;
              await ask(nation, n);
              done += size;
            }
          }),
        );
        return done;
      };
      return {
        pid,
        stop: nation.stop,
        run: async (units): Promise<Done> => {
          if (note === undefined) {
            const [cpu, ended] = [cpuOf(pid), await nation.profile()];
            const done = await load(units);
            note = noteOf(await ended(), cpuOf(pid) - cpu, done);
            return { units: done };
          }
          const started = performance.now();
          const done = await load(units);
          return { units: done, seconds: (performance.now() - started) / 1000, rssMb: rssOf(pid), note };
        },
      };
    },
  };
}

/** Milliseconds of the registry a unit, by what its main thread did; the rest of its CPU time is other threads': writer, pool, collector. */
function noteOf(ms: Readonly<Record<string, number>>, cpuMs: number, units: number): string {
  const main = Object.values(ms).reduce((sum, each) => sum + each, 0);
  const all = { ...ms, "other threads (writer, pool, garbage)": Math.max(0, cpuMs - main) };
  const parts = Object.entries(all).map(([kind, each]) => `${kind} ${(each / units).toFixed(2)}`);
  return `ms of the registry each, profiled: ${parts.join(", ")}`;
}

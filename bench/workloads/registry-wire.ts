/** What the registry answers over the wire: envelopes, TLS, one commit each, asked by houses on the same machine that verify its answers. */
import { randomUUID } from "node:crypto";
import { readCommand } from "../../formats/command.ts";
import type { DocumentEntry } from "../../formats/document-entry.ts";
import type { Found } from "../../formats/query.ts";
import { documentOf, registration } from "../../test/exchange/indexed.ts";
import { cpuOf, type Done, mainCpuOf, rssOf, type Side, type Workload } from "../harness.ts";
import { type Caller, type Nation, openNation } from "../nation.ts";
import { byKind } from "../profiled.ts";

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

export const patientOf = (n: number) => ({ root: "2.16.886.101", extension: `W${n}` });

/** A new document of a patient. */
export function documentFor(org: string, patient: number): DocumentEntry {
  const name = randomUUID();
  const patientIds = [patientOf(patient)];
  return documentOf(name, { patientIds, referenceIdList: [`A${name}`], repositoryUniqueId: org });
}

/** They are one submission set. */
export const registrationOf = (documents: readonly DocumentEntry[]): Uint8Array =>
  registration(documents, randomUUID().replaceAll("-", ""));

/** What the registry answers to a query. */
export async function found(caller: Caller, query: Readonly<Record<string, unknown>>): Promise<Found> {
  const command = { command: "query", purposeOfUse: "TREAT", limit: 100, ...query };
  return readCommand("found", await caller.ask("query", Buffer.from(JSON.stringify(command))));
}

async function register({ callers }: Nation, n: number, count: number): Promise<void> {
  const caller = callers[n % callers.length];
  if (!caller) throw new Error("no houses");
  const documents = Array.from({ length: count }, (_, at) => documentFor(caller.org, (n * count + at) % patients));
  await caller.ask("register", registrationOf(documents));
}

async function query({ callers }: Nation, n: number): Promise<void> {
  const caller = callers[n % callers.length];
  if (!caller) throw new Error("no houses");
  const patientIds = [patientOf(n % patients)];
  const { entries } = await found(caller, { query: "findDocuments", forms: ["113"], patientIds });
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
            const [all, main, ended] = [cpuOf(pid), mainCpuOf(pid), await nation.profile()];
            const done = await load(units);
            const shares = byKind(await ended());
            note = noteOf(shares, { main: mainCpuOf(pid) - main, all: cpuOf(pid) - all }, done);
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

/** Milliseconds of CPU of the registry a unit: those of its main thread by what a profile of it saw, those of the others together. */
function noteOf(
  seen: Readonly<Record<string, number>>,
  { main, all }: { readonly main: number; readonly all: number },
  units: number,
): string {
  const sum = Object.values(seen).reduce((total, each) => total + each, 0);
  const parts = Object.entries(seen).map(([kind, each]) => `${kind} ${((each / sum) * (main / units)).toFixed(2)}`);
  return `ms CPU of the registry each, while profiled: ${parts.sort().join(", ")}, its other threads (writer, pool, garbage) ${((all - main) / units).toFixed(2)}`;
}

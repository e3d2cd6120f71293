/** The national index at its size: registrations and pages at the store, with so many entries there already. */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openSettling } from "../../exchange/settling.ts";
import { submitted } from "../../exchange/submission.ts";
import { readCommand } from "../../formats/command.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { documentOf, registration } from "../../test/exchange/indexed.ts";
import { type Filled, fillIndex, patientOf } from "../filled-index.ts";
import type { Done, Side, Subject, Workload } from "../harness.ts";
import { fresh } from "../subjects.ts";

const batch = 50;
const callers = 8;
const pageRows = 50;
const sizes = { million: 1_000_000, "10 million": 10_000_000 } as const;
type Size = keyof typeof sizes;

export const registryStore = (): readonly Workload[] => rows("million");
export const registryLarge = (): readonly Workload[] => rows("10 million");

const rows = (size: Size): readonly Workload[] => [
  {
    name: `durable registrations in batches of ${batch}, ${callers} callers, a ${size} entries there`,
    unit: "entries/s",
    target: { rate: 2_000 },
    units: 10_000,
    quick: 1_000,
    ours: indexed(size, registering),
    peers: [],
  },
  {
    name: `a page of ${pageRows} at any depth, one after the other, a ${size} entries there: 99 of 100 within 5 ms`,
    unit: "pages/s",
    units: 4_000,
    quick: 400,
    target: { tailMs: 5 },
    ours: indexed(size, paging),
    peers: [],
  },
];

type Work = (store: Store, filled: Filled, units: number) => Promise<Done>;

const indexed = (size: Size, run: Work): Side => ({ name: "semrs", start: () => openIndex(sizes[size], run) });

/** An index with so many entries: 10 million take 4 GB of disk and some minutes. */
async function openIndex(entries: number, run: Work): Promise<Subject> {
  const base = fresh("registry");
  const folder = join(base, "data");
  mkdirSync(folder);
  const key = randomBytes(32);
  const filled = { entries, patients: entries / 10, most: entries / 50 };
  await fillIndex(folder, key, filled);
  const store = await openStore({ folder, key, now: () => new Date() });
  const settling = openSettling(store, () => undefined);
  return {
    run: (units) => run(store, filled, units),
    stop: async () => {
      await settling.stop();
      await store.close();
      rmSync(base, { recursive: true });
    },
  };
}

/** One work at one size after the other: milliseconds a unit. The index of a size is made once. */
const grown = (run: Work, units: number) => async () => {
  let [at, index]: [number, Subject | undefined] = [0, undefined];
  return {
    at: async (entries: number): Promise<{ value: number; rssMb: number }> => {
      if (entries !== at) {
        await index?.stop();
        index = await openIndex(entries, run);
        at = entries;
      }
      const { units: done = 1, seconds = 0 } = (await index?.run(units)) ?? {};
      // This process has filled the index, too: its memory says nothing.
      return { value: (seconds * 1000) / done, rssMb: 0 };
    },
    stop: async () => await index?.stop(),
  };
};
export const growingIndex = { register: grown(registering, 1_000), page: grown(paging, 1_000) } as const;

/** Of patients all over the index, each with a document, an accession number and a study that are new. */
async function registering(store: Store, { patients }: Filled, units: number): Promise<Done> {
  const commands = Array.from({ length: units / batch }, (_, n) => {
    const documents = Array.from({ length: batch }, (_document, at) => {
      const name = store.newId();
      const patientIds = [patientOf(((n * batch + at) * 7919) % patients)];
      return documentOf(name, { patientIds, referenceIdList: [`A${name}`, `1.2.${name}`] });
    });
    return readCommand("register", registration(documents, store.newId()));
  });
  const before = store.entries.count();
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let command = commands.pop(); command; command = commands.pop())
        await store.commit(submitted(store, "hospital-a", command, new Date().toISOString()));
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const there = store.entries.count() - before;
  if (there !== Math.floor(units / batch) * batch) throw new Error(`${there} of ${units} entries are there`);
  return { units: there, seconds, cpuMs: (user + system) / 1000 };
}

/** Patients all over the index; every fourth page is one of the patient with most, as deep as it goes. */
async function paging(store: Store, { patients, most }: Filled, units: number): Promise<Done> {
  const took: number[] = [];
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  for (let n = 0; n < units; n += 1) {
    const isDeep = n % 4 === 0;
    const { root, extension } = patientOf(isDeep ? 0 : 1 + ((n * 104_729) % (patients - 1)));
    const began = performance.now();
    const moment = store.entries.moment();
    const below = isDeep ? 2 * most - ((n * 37) % (2 * most - 4 * pageRows)) : undefined;
    const found = store.entries.find("patient", [store.tokens.of("patient", root, extension)], {
      moment,
      below,
      limit: pageRows,
    });
    took.push(performance.now() - began);
    if (found.length < (isDeep ? pageRows : 10)) throw new Error(`${found.length} rows of patient ${extension}`);
  }
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const tailMs = took.sort((one, other) => one - other)[Math.floor(units * 0.99)] ?? 0;
  return { units, seconds, cpuMs: (user + system) / 1000, tailMs };
}

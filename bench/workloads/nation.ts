/**
 * The national peak: 500 houses at a fixed rate, whether or not answers come. What an operation took counts from when it was due, so
 * what waits behind a slow one is not left out. At the end the registry is asked for everything that it has acknowledged.
 */
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { openAdminClient } from "../../commands/admin-client.ts";
import { reasonOf } from "../../errors.ts";
import { writeCommand } from "../../formats/command.ts";
import { chen } from "../../test/fixtures/documents.ts";
import { cpuOf, type Done, rssOf, type Workload } from "../harness.ts";
import { documentsOfOne } from "../load.ts";
import { sendMessages } from "../mllp-load.ts";
import { type Caller, type Nation, openNation } from "../nation.ts";
import { counted } from "../subjects.ts";
import { documentFor, found, patientOf, registrationOf } from "./registry-wire.ts";

/** Every encounter registered, at the peak (docs/registry.md); of each operation so many a second. */
const peak = { registration: 325, query: 130, retrieval: 9 } as const;
type Operation = keyof typeof peak;
const operations = Object.keys(peak) as Operation[];
const perSecond = operations.reduce((sum, each) => sum + peak[each], 0);
const houses = 500;
const patients = 100_000;
const documentsAtA = 20;
const asked = 100;
const tickMs = 5;
const greetedAtOnce = 8;
/** Operations under way at once: more would only wait in each other's way. */
const maxUnder = 64;
/** What ends so long after the last one was due is in time; what has not ended so long after it is not waited for. */
const [lastMs, graceMs] = [1_000, 30_000];
/** Houses take turns. */
const strideOfHouses = 3;

/** `--seconds`: how long; ten minutes unless said. */
export const nation = ({ seconds = 600 }: { readonly seconds?: number }): readonly Workload[] => [
  {
    name: `the national peak over the wire, ${houses} houses: ${operations.map((each) => `${peak[each]} ${each}`).join(", ")} a second`,
    unit: "operations/s",
    target: { rate: perSecond },
    units: seconds * perSecond,
    quick: 30 * perSecond,
    ours: {
      name: "semrs",
      start: async () => {
        const nation = await openNation(houses, true);
        const work = await prepared(nation);
        await greet(nation, work);
        return {
          pid: nation.registry.pid(),
          stop: nation.stop,
          run: async (units) => await atPeak(nation, work, Math.max(1, Math.round(units / perSecond))),
        };
      },
    },
    peers: [],
  },
];

type Work = Readonly<Record<Operation, (caller: Caller, n: number) => Promise<void>>> & {
  /** Fails unless the registry holds all that it has acknowledged; how many those are. */
  audit(): Promise<number>;
};

/** Hospital A registers documents that the others retrieve; each house asks for a patient of whom it has registered something. */
async function prepared({ callers, env, data }: Nation): Promise<Work> {
  const [first] = callers;
  if (!first) throw new Error("no houses");
  await sendMessages(documentsOfOne(documentsAtA), Number(env.A_HIS), 4);
  const atA = openAdminClient(`http://127.0.0.1:${env.A_ADMIN}`, join(data, "hospital-a"));
  const registered = async (): Promise<number> =>
    (await atA.get<{ records: Record<string, number> }>("/counts")).records.registered ?? 0;
  await counted("registered by hospital A", documentsAtA, registered);
  const ofChen = [{ root: "2.16.886.101.20003.20001", extension: chen.national }];
  const held = await found(first, { query: "findDocuments", patientIds: ofChen });
  const acknowledged = new Map<string, string[]>();
  const known: number[] = [];
  let next = 0;
  return {
    registration: async (caller) => {
      next += 1;
      const patient = next % patients;
      const document = documentFor(caller.org, patient);
      await caller.ask("register", registrationOf([document]));
      known.push(patient);
      const own = acknowledged.get(caller.org) ?? [];
      own.push(document.uniqueId);
      acknowledged.set(caller.org, own);
    },
    query: async (caller, n) => {
      const patient = known[(n * 7919) % Math.max(1, known.length)];
      if (patient === undefined) return;
      const { entries } = await found(caller, { query: "findDocuments", patientIds: [patientOf(patient)] });
      if (entries.length === 0) throw new Error("a patient without documents");
    },
    retrieval: async (caller, n) => {
      const { entry, manifestSha256 } = held.entries[n % held.entries.length] ?? {};
      if (!entry || !manifestSha256) throw new Error("hospital A holds nothing");
      const command = writeCommand<"retrieve">({ command: "retrieve", uniqueId: entry.uniqueId, manifestSha256 });
      const document = await caller.ask("retrieve", command);
      if (document.length !== entry.size) throw new Error("a document of another size");
    },
    audit: async () => {
      let count = 0;
      for (const caller of callers) {
        const own = acknowledged.get(caller.org) ?? [];
        for (let at = 0; at < own.length; at += asked) {
          const uniqueIds = own.slice(at, at + asked);
          const { entries } = await found(caller, { query: "getDocuments", uniqueIds });
          if (entries.length !== uniqueIds.length)
            throw new Error(`${caller.org}: ${entries.length} of ${uniqueIds.length} that were acknowledged`);
          count += entries.length;
        }
      }
      return count;
    },
  };
}

/** Every house has asked before: 500 handshakes in one second are no part of a peak. */
async function greet({ callers }: Nation, work: Work): Promise<void> {
  const left = [...callers];
  const one = async (): Promise<void> => {
    for (let caller = left.pop(); caller; caller = left.pop()) await work.registration(caller, 0);
  };
  await Promise.all(Array.from({ length: greetedAtOnce }, one));
}

type Due = { readonly operation: Operation; readonly n: number; readonly due: number };

/**
 * Operations as they are due. What cannot be begun yet waits, and its time counts; what was not begun within the last second is not
 * reached. The rate is of those that ended by then.
 */
async function atPeak({ callers, registry }: Nation, work: Work, seconds: number): Promise<Done> {
  const took = new Map<Operation, number[]>(operations.map((each) => [each, []]));
  const cpu = cpuOf(registry.pid());
  const started = performance.now();
  const end = started + seconds * 1000;
  /** All that was due, of which the first `begun` have been. */
  const offered: Due[] = [];
  const failures: string[] = [];
  let [begun, under, inTime] = [0, 0, 0];
  const begin = async ({ operation, n, due }: Due): Promise<void> => {
    under += 1;
    try {
      await work[operation](callers[n % callers.length] as Caller, n);
      took.get(operation)?.push(performance.now() - due);
      if (performance.now() < end + lastMs) inTime += 1;
    } catch (thrown) {
      failures.push(reasonOf(thrown));
    } finally {
      under -= 1;
      beginMore();
    }
  };
  const beginMore = (): void => {
    while (under < maxUnder && performance.now() < end + lastMs) {
      const next = offered[begun];
      if (!next) return;
      begun += 1;
      void begin(next);
    }
  };
  const next: Record<Operation, number> = { registration: 0, query: 0, retrieval: 0 };
  for (let at = started; at < end; at = performance.now()) {
    for (const operation of operations) {
      for (;;) {
        const due = started + (next[operation] * 1000) / peak[operation];
        if (due > at || due >= end) break;
        offered.push({ operation, n: next[operation] * strideOfHouses, due });
        next[operation] += 1;
      }
    }
    beginMore();
    await wait(tickMs);
  }
  for (const last = end + graceMs; under > 0 && performance.now() < last; ) await wait(tickMs);
  const cpuMs = cpuOf(registry.pid()) - cpu;
  for (const { operation, due } of offered.slice(begun)) took.get(operation)?.push(performance.now() - due);
  const held = await work.audit();
  const lines = operations.map((each) => `${each} ${quantilesOf(took.get(each) ?? [])}`);
  const [why] = failures;
  const share = `${((100 * inTime) / offered.length).toFixed(1)} % of what was offered ended in time, ${failures.length} failed${why ? ` (${why})` : ""}`;
  const note = `50 and 99 of 100 within ms: ${lines.join(", ")}; ${share}; all ${held} acknowledged entries are at the registry`;
  return { units: inTime, seconds, cpuMs, rssMb: rssOf(registry.pid()), note };
}

function quantilesOf(ms: readonly number[]): string {
  const sorted = [...ms].sort((one, other) => one - other);
  const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(0);
  return `${at(0.5)} and ${at(0.99)}`;
}

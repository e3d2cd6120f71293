/**
 * One harness for every measurement: a workload runs ours and its peers one after the other, again and again, in the same
 * run; each run proves what it did. Rate, CPU of the measured process per unit, its largest memory; minimum, median, maximum.
 */
import { readFileSync } from "node:fs";

/** A process under measurement. `run` does the work, checks its result, and resolves with how many units were done. */
export type Subject = {
  /** The process whose CPU and memory count; undefined where `run` tells them itself. */
  readonly pid?: number;
  run(units: number): Promise<Done>;
  stop(): Promise<void>;
};

/** What one run did; `seconds`, `cpuMs` and `rssMb` where the run measures them itself. */
export type Done = {
  readonly units: number;
  readonly seconds?: number;
  readonly cpuMs?: number;
  readonly rssMb?: number;
  /** What 99 of 100 units took at most. */
  readonly tailMs?: number;
  /** What else was seen; the last run's is told. */
  readonly note?: string;
};

export type Side = {
  readonly name: string;
  /** What this side leaves out, or why it is not there. */
  readonly remark?: string;
  /** Undefined, with the reason, when the program is missing. */
  start(): Promise<Subject | { readonly missing: string }>;
};

export type Workload = {
  readonly name: string;
  readonly unit: string;
  /** What ours must reach, of design and measured fact. */
  readonly target?: {
    readonly rate?: number;
    /** The rate is of something that is to be small. */
    readonly most?: number;
    readonly cpuMs?: number;
    readonly rssMb?: number;
    readonly tailMs?: number;
    readonly ratio?: number;
    /** The peer that `ratio` is meant of; without it, all of them. */
    readonly against?: string;
  };
  /** Units a run, and with --quick. */
  readonly units: number;
  readonly quick: number;
  /**
   * Whole runs of each side before the first that counts: what takes messages for months is measured warm. A quarter of one where
   * nothing is said, and with --quick.
   */
  readonly warmUps?: number;
  readonly ours: Side;
  readonly peers: readonly Side[];
};

export type Figures = { readonly min: number; readonly median: number; readonly max: number };
export type Measured = {
  readonly rate: Figures;
  readonly cpuMs: Figures;
  readonly rssMb: number;
  readonly tailMs?: Figures;
  readonly note?: string;
};
export type Row = {
  readonly name: string;
  readonly unit: string;
  readonly ours: Measured;
  readonly peers: readonly ({ readonly name: string; readonly remark?: string } & (
    | { readonly measured: Measured; readonly ratio: number }
    | { readonly missing: string }
  ))[];
  readonly target: Workload["target"] | null;
  /** Null where nothing is asked. */
  readonly met: boolean | null;
  readonly repetitions: number;
};

export type Options = { readonly repetitions: number; readonly isQuick: boolean; told(text: string): void };

const clockTicks = 100;

/** Runs a workload: a warm-up of each side, then the sides in turn. */
export async function measure(workload: Workload, { repetitions, isQuick, told }: Options): Promise<Row> {
  const units = isQuick ? workload.quick : workload.units;
  const sides = [workload.ours, ...workload.peers];
  const subjects = new Map<Side, Subject>();
  const missing = new Map<Side, string>();
  try {
    for (const side of sides) {
      const started = await side.start();
      if ("missing" in started) missing.set(side, started.missing);
      else subjects.set(side, started);
    }
    const samples = new Map<Side, Sample[]>([...subjects.keys()].map((side) => [side, []]));
    for (const subject of subjects.values()) await warmUp(subject, units, isQuick ? undefined : workload.warmUps);
    for (let repetition = 0; repetition < repetitions; repetition += 1) {
      for (const [side, subject] of subjects) {
        told(`${workload.name}: ${side.name} ${repetition + 1}/${repetitions}`);
        samples.get(side)?.push(await sample(subject, units));
      }
    }
    return rowOf(workload, samples, missing, repetitions);
  } finally {
    for (const subject of subjects.values()) await subject.stop();
  }
}

async function warmUp(subject: Subject, units: number, runs: number | undefined): Promise<void> {
  if (runs === undefined) await subject.run(Math.max(1, Math.floor(units / 4)));
  else for (let n = 0; n < runs; n += 1) await subject.run(units);
}

type Sample = {
  readonly rate: number;
  readonly cpuMs: number;
  readonly rssMb: number;
  readonly tailMs: number | undefined;
  readonly note: string | undefined;
};

async function sample(subject: Subject, units: number): Promise<Sample> {
  const before = subject.pid === undefined ? 0 : cpuOf(subject.pid);
  const started = performance.now();
  const done = await subject.run(units);
  const seconds = done.seconds ?? (performance.now() - started) / 1000;
  const cpuMs = done.cpuMs ?? (subject.pid === undefined ? 0 : cpuOf(subject.pid) - before);
  const rssMb = done.rssMb ?? (subject.pid === undefined ? 0 : rssOf(subject.pid));
  return {
    rate: done.units / seconds,
    cpuMs: done.units === 0 ? 0 : cpuMs / done.units,
    rssMb,
    tailMs: done.tailMs,
    note: done.note,
  };
}

function rowOf(
  workload: Workload,
  samples: ReadonlyMap<Side, readonly Sample[]>,
  missing: ReadonlyMap<Side, string>,
  repetitions: number,
): Row {
  const ours = measuredOf(samples.get(workload.ours) ?? []);
  const peers = workload.peers.map((side): Row["peers"][number] => {
    const who = { name: side.name, ...(side.remark ? { remark: side.remark } : {}) };
    const reason = missing.get(side);
    if (reason !== undefined) return { ...who, missing: reason };
    const measured = measuredOf(samples.get(side) ?? []);
    return { ...who, measured, ratio: ours.rate.median / measured.rate.median };
  });
  const { name, unit, target = null } = workload;
  return { name, unit, ours, peers, target, met: target === null ? null : isMet(target, ours, peers), repetitions };
}

function isMet(target: NonNullable<Workload["target"]>, ours: Measured, peers: Row["peers"]): boolean {
  const { rate = 0, cpuMs = Number.POSITIVE_INFINITY, rssMb = Number.POSITIVE_INFINITY, ratio = 0, against } = target;
  const compared = against === undefined ? peers : peers.filter(({ name }) => name === against);
  const ratios = compared.flatMap((peer) => ("ratio" in peer ? [peer.ratio] : []));
  return (
    ours.rate.median >= rate &&
    ours.rate.median <= (target.most ?? Number.POSITIVE_INFINITY) &&
    ours.cpuMs.median <= cpuMs &&
    ours.rssMb <= rssMb &&
    (ours.tailMs?.median ?? 0) <= (target.tailMs ?? Number.POSITIVE_INFINITY) &&
    ratios.every((each) => each >= ratio)
  );
}

function measuredOf(samples: readonly Sample[]): Measured {
  const tails = samples.flatMap(({ tailMs }) => (tailMs === undefined ? [] : [tailMs]));
  const note = samples.at(-1)?.note;
  return {
    ...(note === undefined ? {} : { note }),
    rate: figures(samples.map(({ rate }) => rate)),
    cpuMs: figures(samples.map(({ cpuMs }) => cpuMs)),
    rssMb: Math.max(0, ...samples.map(({ rssMb }) => rssMb)),
    ...(tails.length > 0 ? { tailMs: figures(tails) } : {}),
  };
}

function figures(values: readonly number[]): Figures {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (index: number): number => sorted[index] ?? 0;
  return { min: at(0), median: at(Math.floor(sorted.length / 2)), max: at(sorted.length - 1) };
}

/** CPU time of a process so far, milliseconds (proc(5): utime and stime). */
export const cpuOf = (pid: number): number => cpuIn(`/proc/${pid}/stat`);

/** The same of its main thread. */
export const mainCpuOf = (pid: number): number => cpuIn(`/proc/${pid}/task/${pid}/stat`);

function cpuIn(file: string): number {
  const stat = readFileSync(file, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / clockTicks;
}

/** Largest resident memory of a process so far, MB. */
export const rssOf = (pid: number): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;

/**
 * Where the time of a row goes: one more run of ours under a profile, its threads from the kernel, its main thread by file. It is
 * dearer than a run that counts, by a fifth to a half; the shares are what is meant.
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Workload } from "./harness.ts";
import { byFile, openProfile } from "./profiled.ts";

/** CPU in ms a unit: of each kind of thread, and of the main thread by file. */
export type Where = {
  readonly name: string;
  readonly unit: string;
  readonly threads: Readonly<Record<string, number>>;
  readonly files: Readonly<Record<string, number>>;
};

/** Where Node's inspector listens once it is asked to by a signal. */
const inspector = "9229";
const openMs = 10_000;
const msPerTick = 10;
const shownFiles = 16;
const leastShare = 0.005;

/** Undefined where ours is no process that runs on, or is not there. */
export async function whereOf(
  { name, unit, units, quick, ours }: Workload,
  isQuick: boolean,
): Promise<Where | undefined> {
  const subject = await ours.start();
  if ("missing" in subject) return undefined;
  try {
    const { pid } = subject;
    if (pid === undefined) return undefined;
    const count = isQuick ? quick : units;
    await subject.run(count);
    const stop = await profileOf(pid);
    const before = threadsOf(pid);
    const { units: done } = await subject.run(count);
    const after = threadsOf(pid);
    const files = byFile(await stop());
    // What is timed as one is made of many.
    const each = (ms: number): number => ms / (done > 1 ? done : count);
    const spent = Object.keys(after).map((kind) => [kind, each((after[kind] ?? 0) - (before[kind] ?? 0))] as const);
    // A thread that waits for a processor is seen where it waits: shares of what it had.
    const had = Object.fromEntries(spent).main ?? 0;
    const seen = Object.entries(files).map(([file, ms]) => [file, (had * ms) / sumOf(files)] as const);
    return { name, unit, threads: Object.fromEntries(spent), files: Object.fromEntries(seen) };
  } finally {
    await subject.stop();
  }
}

/** The inspector needs a moment after the signal. */
async function profileOf(pid: number): ReturnType<typeof openProfile> {
  process.kill(pid, "SIGUSR1");
  for (const end = Date.now() + openMs; ; ) {
    try {
      return await openProfile(inspector);
    } catch (thrown) {
      if (Date.now() > end) throw new Error(`no inspector on ${inspector}`, { cause: thrown });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const kinds: readonly (readonly [pattern: RegExp, kind: string])[] = [
  [/^MainThread$|^node$/, "main"],
  [/^V8Worker|^node-V8/, "V8's helpers"],
  [/^libuv-worker/, "pool"],
];

/** Milliseconds so far by kind of thread; workers have names of their own (proc(5): comm, utime and stime). */
function threadsOf(pid: number): Readonly<Record<string, number>> {
  const ms: Record<string, number> = {};
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const kind = kinds.find(([pattern]) => pattern.test(name))?.[1] ?? name;
    ms[kind] = (ms[kind] ?? 0) + (Number(fields[11]) + Number(fields[12])) * msPerTick;
  }
  return ms;
}

const sumOf = (of: Readonly<Record<string, number>>): number => Object.values(of).reduce((sum, each) => sum + each, 0);

const largest = (of: Readonly<Record<string, number>>): readonly (readonly [string, number])[] =>
  Object.entries(of)
    .filter(([, ms]) => ms > leastShare * sumOf(of))
    .sort(([, one], [, other]) => other - one);

/** A row's section: its threads, then what its main thread did. */
export function sectionOf({ name, unit, threads, files }: Where, date: string): string {
  const sum = sumOf(files);
  const lines = largest(files).slice(0, shownFiles);
  const told = lines.reduce((total, [, ms]) => total + ms, 0);
  const line = ([file, ms]: readonly [string, number]): string =>
    `| ${file} | ${ms.toPrecision(3)} | ${((100 * ms) / sum).toFixed(1)} % |`;
  const spent = largest(threads).map(([thread, ms]) => `${thread} ${ms.toPrecision(3)}`);
  return [
    `## ${name}`,
    "",
    `${date}. CPU in ms each (${unit.replace("/s", "")}): ${spent.join(", ")}.`,
    "",
    "| main thread, by file or package | ms | |",
    "|---|---|---|",
    ...lines.map(line),
    line(["the rest", sum - told]),
    "",
  ].join("\n");
}

/** A page in which each section takes the place of the one of the same name; the others stay. */
export function withSections(page: string, sections: readonly string[]): string {
  const [head = "", ...before] = page.split(/^(?=## )/m);
  const nameIn = (section: string): string => section.slice(0, section.indexOf("\n"));
  const kept = before.filter((section) => !sections.some((each) => nameIn(each) === nameIn(section)));
  return `${[head.trimEnd(), ...[...kept, ...sections].map((each) => each.trimEnd())].join("\n\n")}\n`;
}

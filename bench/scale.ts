/** How cost grows: the same work at growing sizes, each size with a check of what came of it, and the exponent of the growth. */
import type { AdminClient } from "../commands/admin-client.ts";
import { rssOf } from "./harness.ts";
import { adtMessages, ctInstances, documentsOfSize, sendInstances } from "./load.ts";
import { sendFromMany, sendMessages } from "./mllp-load.ts";
import { counted, startExchange } from "./subjects.ts";
import { growingIndex } from "./workloads/registry-store.ts";
import { growingDocument } from "./workloads/seal-open.ts";

export type Curve = {
  readonly name: string;
  /** What grows. */
  readonly x: string;
  /** Of what is measured at each point. */
  readonly unit: string;
  readonly points: readonly Point[];
  /** Of the power law that fits best: 1 is in proportion, 0 is constant. */
  readonly exponent: number;
};
/** `rssMb`: 0 where the process that is measured has also filled what it measures. */
export type Point = { readonly x: number; readonly value: number; readonly rssMb: number };

type Growth = Omit<Curve, "points" | "exponent"> & {
  /** `--only scale-ID` draws it alone. */
  readonly id: string;
  readonly sizes: readonly number[];
  /** Sizes with --quick. */
  readonly quick: number;
  /** Does the work once at a size; the value is what the unit says. */
  open(): Promise<Grown>;
};

/** What grows, in a process whose memory counts, or in processes that come and go. */
type Grown = { stop(): Promise<void> } & (
  | { readonly pid: number; at(size: number): Promise<number> }
  | { at(size: number): Promise<Omit<Point, "x">> }
);

const mebibyte = 1024 * 1024;
/** One of 10 million is made in some minutes, and takes 4 GB: only with SCALE_ENTRIES=10000000. */
const mostEntries = Number(process.env.SCALE_ENTRIES ?? 1_000_000);
const indexSizes = [10_000, 100_000, 1_000_000, 10_000_000].filter((entries) => entries <= mostEntries);

const growths: readonly Growth[] = [
  {
    id: "documents",
    name: "a document accepted and validated",
    x: "octets",
    unit: "ms",
    sizes: [1024, 10 * 1024, 100 * 1024, mebibyte, 10 * mebibyte, 40 * mebibyte],
    quick: 4,
    open: () =>
      atHospitalA(async ({ mllp }, a, size) => {
        const before = await arrivals(a);
        const [item] = documentsOfSize(1, size);
        const started = performance.now();
        await sendMessages(item ? [item] : [], mllp, 1);
        const ms = performance.now() - started;
        await counted("arrivals", before + 1, () => arrivals(a));
        return ms;
      }),
  },
  {
    id: "sealing",
    name: "an attached document sealed by semrs seal and opened by semrs open, each from start to end",
    x: "octets",
    unit: "ms",
    sizes: [1024, 10 * 1024, 100 * 1024, mebibyte, 10 * mebibyte, 100 * mebibyte],
    quick: 4,
    open: growingDocument,
  },
  {
    id: "studies",
    name: "a study of instances of 10 kB received on one association",
    x: "instances",
    unit: "ms",
    sizes: [1, 10, 100, 1_000, 10_000],
    quick: 3,
    open: () =>
      atHospitalA(async ({ dicom }, a, size) => {
        const items = ctInstances(size, 64);
        const before = await waiting(a);
        const started = performance.now();
        await sendInstances(items, dicom, "SEMRS_A", 1);
        const ms = performance.now() - started;
        await counted("instances", before + size, () => waiting(a));
        return ms;
      }),
  },
  {
    id: "connections",
    name: "a message of 1 KB acknowledged, one under way on each connection",
    x: "connections",
    unit: "ms a message",
    // As many as one system may have, from addresses that each have as many as they may.
    sizes: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    quick: 3,
    open: () =>
      atHospitalA(async ({ mllp }, a, size) => {
        const items = adtMessages(Math.max(1_000, size * 10));
        const before = await arrivals(a);
        const started = performance.now();
        await sendFromMany(items, mllp, size);
        const ms = performance.now() - started;
        await counted("arrivals", before + items.length, () => arrivals(a));
        return ms / items.length;
      }),
  },
  {
    id: "registrations",
    name: "a registration in a batch of 50 of 8 callers, durable",
    x: "entries there",
    unit: "ms",
    sizes: indexSizes,
    quick: 2,
    open: growingIndex.register,
  },
  {
    id: "pages",
    name: "a page of 50 of the index, every fourth as deep as it goes",
    x: "entries there",
    unit: "ms",
    sizes: indexSizes,
    quick: 2,
    open: growingIndex.page,
  },
];

type Ports = { readonly mllp: number; readonly dicom: number };

async function atHospitalA(work: (ports: Ports, a: AdminClient, size: number) => Promise<number>) {
  const exchange = await startExchange();
  const { pid, mllp, dicom } = exchange.ready["hospital-a"];
  const portOf = (address: string): number => Number(/:(\d+)$/.exec(address)?.[1]);
  const ports = { mllp: portOf(mllp), dicom: portOf(dicom) };
  return { pid, stop: exchange.stop, at: (size: number) => work(ports, exchange.a, size) };
}

type Counts = { readonly arrivals: Record<string, number>; readonly items: Record<string, number> };
const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((total, each) => total + each, 0);
const arrivals = async (a: AdminClient): Promise<number> => sum((await a.get<Counts>("/counts")).arrivals);
const waiting = async (a: AdminClient): Promise<number> => (await a.get<Counts>("/counts")).items.waiting ?? 0;

/** What `--only` knows of curves: all of them, or one. */
export const scaleNames: readonly string[] = ["scale", ...growths.map(({ id }) => `scale-${id}`)];

/** Curves, each in a house of its own: the median of so many runs at each size, after one that warms it up. */
export async function measureScale(
  names: readonly string[],
  repetitions: number,
  isQuick: boolean,
  told: (text: string) => void,
): Promise<readonly Curve[]> {
  const curves: Curve[] = [];
  for (const { id, name, x, unit, sizes, quick, open } of growths) {
    if (!names.includes("scale") && !names.includes(`scale-${id}`)) continue;
    const subject = await open();
    const points: Point[] = [];
    try {
      await subject.at(sizes[0] ?? 1);
      for (const size of isQuick ? sizes.slice(0, quick) : sizes) {
        const values: Omit<Point, "x">[] = [];
        for (let n = 0; n < repetitions; n += 1) {
          told(`${name}: ${size} ${x} ${n + 1}/${repetitions}`);
          values.push("pid" in subject ? await seenAt(subject.pid, subject.at(size)) : await subject.at(size));
        }
        const { value = 0 } = values.sort((one, other) => one.value - other.value)[Math.floor(values.length / 2)] ?? {};
        points.push({ x: size, value, rssMb: Math.max(...values.map(({ rssMb }) => rssMb)) });
      }
    } finally {
      await subject.stop();
    }
    curves.push({ name, x, unit, points, exponent: exponentOf(points) });
  }
  return curves;
}

const seenAt = async (pid: number, work: Promise<number>): Promise<Omit<Point, "x">> => ({
  value: await work,
  rssMb: rssOf(pid),
});

/** Least squares on logarithms. */
export function exponentOf(points: readonly Pick<Point, "x" | "value">[]): number {
  const logs = points.map(({ x, value }) => [Math.log(x), Math.log(value)] as const);
  const mean = (at: 0 | 1): number => logs.reduce((total, each) => total + each[at], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const product = logs.reduce((total, [a, b]) => total + (a - x) * (b - y), 0);
  return product / logs.reduce((total, [a]) => total + (a - x) ** 2, 0);
}

export const curveLines = ({ name, x, unit, points, exponent }: Curve): readonly string[] => [
  `${name}: exponent ${exponent.toFixed(2)}`,
  ...points.map(({ x: at, value, rssMb }) => {
    const digits = value < 10 ? 2 : 0;
    const memory = rssMb > 0 ? `  ${rssMb.toFixed(0)} MB` : "";
    return `  ${String(at).padStart(10)} ${x}  ${value.toFixed(digits).padStart(9)} ${unit}${memory}`;
  }),
];

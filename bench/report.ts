/** What a run measured, as it is published: JSON for programs, a table for people. */
import type { Figures, Measured, Row } from "./harness.ts";
import type { Curve } from "./scale.ts";

/** One row of docs/benchmarks.json: medians, with the spread beside them. */
export type ReportRow = {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly oursSpread: readonly [number, number];
  readonly cpuMs: number | null;
  readonly rssMb: number | null;
  /** The peer that the target is compared with, else the first that was there; null where there is none. */
  readonly peerName: string | null;
  readonly peer: number | null;
  readonly ratio: number | null;
  readonly peers: readonly {
    readonly name: string;
    readonly rate: number | null;
    readonly cpuMs: number | null;
    readonly rssMb: number | null;
    readonly ratio: number | null;
    /** What it leaves out, or why it is not there. */
    readonly remark: string | null;
  }[];
  readonly target: Row["target"];
  readonly met: boolean | null;
  readonly repetitions: number;
  /** What else was seen of ours. */
  readonly note?: string;
  /** When it was measured: a run of some rows leaves the others as they are. */
  readonly date: string;
};

export type Report = {
  readonly date: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: readonly ReportRow[];
  readonly curves: readonly Curve[];
};

export function reportRow({ name, unit, ours, peers, target, met, repetitions }: Row, date: string): ReportRow {
  const told = peers.map((peer): ReportRow["peers"][number] =>
    "missing" in peer
      ? { name: peer.name, rate: null, cpuMs: null, rssMb: null, ratio: null, remark: peer.missing }
      : {
          name: peer.name,
          ...sums(peer.measured),
          // Of what is to be small a ratio says nothing.
          ratio: target?.most === undefined ? rounded(peer.ratio) : null,
          remark: [peer.remark, peer.measured.note].filter((text) => text !== undefined).join(", ") || null,
        },
  );
  const beside = told.find((peer) => peer.name === target?.against) ?? told.find(({ rate }) => rate !== null);
  const { rate, cpuMs, rssMb } = sums(ours);
  return {
    name,
    unit,
    ours: rate,
    oursSpread: [rounded(ours.rate.min), rounded(ours.rate.max)],
    cpuMs,
    rssMb,
    peerName: beside?.name ?? null,
    peer: beside?.rate ?? null,
    ratio: beside?.ratio ?? null,
    peers: told,
    target,
    met,
    repetitions,
    ...(ours.note === undefined ? {} : { note: ours.note }),
    date,
  };
}

/** Nothing was measured where it is zero or no number: the work ran in processes that come and go. */
const sums = ({ rate, cpuMs, rssMb }: Measured) => ({
  rate: rounded(rate.median),
  cpuMs: cpuMs.median > 0 ? rounded(cpuMs.median) : null,
  rssMb: rssMb > 0 ? Math.round(rssMb) : null,
});

/** Three digits that count: more would say more than a repetition does. */
export const rounded = (value: number): number => Number(value.toPrecision(3));

/** Rows and curves of this run in the place of those of the same name; the others stay, as they were measured before. */
export function merged(before: Report | undefined, now: Report): Report {
  if (!before) return now;
  return { ...now, curves: inPlace(before.curves, now.curves), rows: inPlace(before.rows, now.rows) };
}

function inPlace<T extends { readonly name: string }>(before: readonly T[], now: readonly T[]): readonly T[] {
  const fresh = new Map(now.map((one) => [one.name, one]));
  const known = new Set(before.map(({ name }) => name));
  return [...before.map((one) => fresh.get(one.name) ?? one), ...now.filter(({ name }) => !known.has(name))];
}

/** The table of docs/benchmarks.md. */
export function tableOf({ date, machine, versions, rows, curves }: Report): string {
  const lines = rows.map((row) => {
    const ours = [`${row.ours} ${row.unit} (${row.oursSpread.join("–")})`, row.cpuMs === null ? "" : `${row.cpuMs} ms`];
    const memory = row.rssMb === null ? "" : `${row.rssMb} MB`;
    const verdict = row.met === null ? "" : row.met ? "met" : "**missed**";
    const what = row.note === undefined ? row.name : `${row.name}; ${row.note}`;
    const name = row.date === date ? what : `${what} (${row.date})`;
    return `| ${[name, ...ours, memory, row.peers.map(besideOf).join("; "), askedOf(row.target), verdict].join(" | ")} |`;
  });
  const who = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${date}, ${machine}; ${who.join(", ")}. Median, with the smallest and largest run; CPU of the measured process per unit; its`,
    "largest memory; sides in turn in the same run.",
    "",
    "| what | ours | CPU each | memory | beside | asked | |",
    "|---|---|---|---|---|---|---|",
    ...lines,
    ...curves.flatMap(curveTable),
  ].join("\n");
}

const curveTable = ({ name, x, unit, points, exponent }: Curve): readonly string[] => [
  "",
  `How ${name} grows, exponent ${exponent.toFixed(2)}:`,
  "",
  `| ${[x, ...points.map((point) => point.x)].join(" | ")} |`,
  `|${"---|".repeat(points.length + 1)}`,
  `| ${[unit, ...points.map(({ value }) => rounded(value))].join(" | ")} |`,
  ...(points.some(({ rssMb }) => rssMb > 0)
    ? [`| ${["MB", ...points.map(({ rssMb }) => Math.round(rssMb))].join(" | ")} |`]
    : []),
];

function besideOf({ name, rate, cpuMs, rssMb, ratio, remark }: ReportRow["peers"][number]): string {
  if (rate === null) return `${name}: missing (${remark})`;
  const more = [
    cpuMs === null ? "" : `${cpuMs} ms`,
    rssMb === null ? "" : `${rssMb} MB`,
    ratio === null ? "" : `ours ${ratio} ×`,
    remark ?? "",
  ];
  return `${name} ${[rate, ...more.filter((text) => text !== "")].join(", ")}`;
}

export function askedOf(target: Row["target"]): string {
  if (!target) return "";
  const { rate, most, cpuMs, rssMb, tailMs, ratio, against } = target;
  return [
    rate === undefined ? "" : `≥ ${rate}`,
    most === undefined ? "" : `≤ ${most}`,
    cpuMs === undefined ? "" : `≤ ${cpuMs} ms`,
    rssMb === undefined ? "" : `≤ ${rssMb} MB`,
    tailMs === undefined ? "" : `99 of 100 ≤ ${tailMs} ms`,
    ratio === undefined ? "" : `≥ ${ratio} × ${against ?? "the peer"}`,
  ]
    .filter((text) => text !== "")
    .join(", ");
}

const [begin, end] = ["<!-- rows: npm run bench -- --write -->", "<!-- /rows -->"];

/** A page with its table in the place of the one that it has; the page says why what is missed is missed. */
export function withTable(page: string, table: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the page has no ${begin} … ${end}`);
  return `${page.slice(0, from + begin.length)}\n\n${table}\n\n${page.slice(to)}`;
}

export const spread = ({ min, median, max }: Figures, digits: number): string =>
  [min, median, max].map((value) => value.toFixed(digits)).join(" / ");

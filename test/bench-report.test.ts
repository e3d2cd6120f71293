/** What a measurement publishes: rows, table and chart from the same figures, nothing left out that is missing or missed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { chartOf } from "../bench/chart.ts";
import type { Row } from "../bench/harness.ts";
import { merged, type Report, reportRow, tableOf, withTable } from "../bench/report.ts";
import { exponentOf } from "../bench/scale.ts";

const even = (value: number) => ({ min: value, median: value, max: value });
const row: Row = {
  name: "C-STORE <in>",
  unit: "instances/s",
  ours: { rate: { min: 198.04, median: 200.06, max: 210 }, cpuMs: even(3.456), rssMb: 150.4 },
  peers: [
    { name: "storescp", remark: "no fsync", measured: { rate: even(1000), cpuMs: even(1), rssMb: 0 }, ratio: 0.2 },
    { name: "Orthanc", measured: { rate: even(100), cpuMs: even(4), rssMb: 600 }, ratio: 2 },
    { name: "dcm4chee", missing: "it is not installed" },
  ],
  target: { rate: 300, cpuMs: 2.5, ratio: 1.4, against: "Orthanc" },
  met: false,
  repetitions: 3,
};
const report: Report = {
  date: "2026-01-02",
  machine: "2 × test",
  versions: { Node: "24.0.0" },
  rows: [reportRow(row, "2026-01-02")],
  curves: [],
};

test("a row has three digits, its spread, and the peer that its target names", () => {
  expect(report.rows[0]).toMatchObject({
    ours: 200,
    oursSpread: [198, 210],
    cpuMs: 3.46,
    rssMb: 150,
    peerName: "Orthanc",
    peer: 100,
    ratio: 2,
    met: false,
    date: "2026-01-02",
  });
  expect(report.rows[0]?.peers.map(({ name, rate, rssMb, remark }) => [name, rate, rssMb, remark])).toEqual([
    ["storescp", 1000, null, "no fsync"],
    ["Orthanc", 100, 600, null],
    ["dcm4chee", null, null, "it is not installed"],
  ]);
});

test("without a named peer the first that was there stands for it; without any there is none", () => {
  expect(reportRow({ ...row, target: { rate: 1 } }, "")).toMatchObject({ peerName: "storescp", ratio: 0.2 });
  expect(reportRow({ ...row, peers: row.peers.slice(2) }, "")).toMatchObject({
    peerName: null,
    peer: null,
    ratio: null,
  });
});

test("where less is asked there is no ratio, and a peer's own note is told", () => {
  const changed = {
    ...row,
    target: { most: 0 },
    peers: [
      { name: "storescu", measured: { rate: even(14), cpuMs: even(0), rssMb: 0, note: "2 not there" }, ratio: 0 },
    ],
  };
  const told = reportRow(changed, "");
  expect(told).toMatchObject({ ratio: null, peers: [{ ratio: null, remark: "2 not there" }] });
  expect(tableOf({ ...report, rows: [told] })).toContain("| storescu 14, 2 not there |");
});

test("the table says what is missed, what was asked, and who is missing", () => {
  const table = tableOf(report);
  expect(table).toContain(
    "| C-STORE <in> | 200 instances/s (198–210) | 3.46 ms | 150 MB | storescp 1000, 1 ms, ours 0.2 ×, no fsync; " +
      "Orthanc 100, 4 ms, 600 MB, ours 2 ×; dcm4chee: missing (it is not installed) | " +
      "≥ 300, ≤ 2.5 ms, ≥ 1.4 × Orthanc | **missed** |",
  );
  expect(table).toContain("2026-01-02, 2 × test; Node 24.0.0.");
});

test("a run of some rows leaves the others, with their date", () => {
  const later = { ...report, date: "2026-02-03", rows: [reportRow({ ...row, name: "other" }, "2026-02-03")] };
  const whole = merged(report, later);
  expect(whole.rows.map(({ name, date }) => [name, date])).toEqual([
    ["C-STORE <in>", "2026-01-02"],
    ["other", "2026-02-03"],
  ]);
  expect(tableOf(whole)).toMatch(/\| C-STORE <in> \(2026-01-02\) \|[\s\S]*\| other \|/);
  expect(merged(whole, { ...report, date: "2026-03-04" }).rows).toHaveLength(2);
});

test("a curve has its exponent, and stays when only rows are measured", () => {
  const points = [10, 100, 1000].map((x) => ({ x, value: 3 * x ** 2, rssMb: 100.4 }));
  expect(exponentOf(points)).toBeCloseTo(2);
  expect(exponentOf(points.map(({ x }) => ({ x, value: 5 })))).toBeCloseTo(0);
  const curve = { name: "a study", x: "instances", unit: "ms", points, exponent: exponentOf(points) };
  const whole = merged({ ...report, curves: [curve] }, report);
  expect(tableOf(whole)).toContain(
    "How a study grows, exponent 2.00:\n\n| instances | 10 | 100 | 1000 |\n|---|---|---|---|\n| ms | 300 | 30000 | 3000000 |\n| MB | 100 | 100 | 100 |",
  );
});

test("the table goes between the marks of its page, and nowhere else", () => {
  const page = "# Measured\n\n<!-- rows: npm run bench -- --write -->\nold\n<!-- /rows -->\n\nwhy\n";
  const once = withTable(page, "| new |");
  expect(once).toBe("# Measured\n\n<!-- rows: npm run bench -- --write -->\n\n| new |\n\n<!-- /rows -->\n\nwhy\n");
  expect(withTable(once, "| new |")).toBe(once);
  expect(() => withTable("# Measured", "x")).toThrow("the page has no");
  const docs = readFileSync(join(import.meta.dirname, "../docs/benchmarks.md"), "utf8");
  expect(withTable(docs, "| new |")).toContain("| new |");
});

test("the chart has a bar for each peer that was there: left of the line where ours is slower", () => {
  const chart = chartOf(report);
  expect(chart.match(/<rect x/g)).toHaveLength(2);
  expect(chart).toContain("C-STORE &lt;in&gt; · Orthanc");
  const [slower = "", faster = ""] = chart.split("\n").filter((line) => line.startsWith("<rect x"));
  const at = (bar: string): number => Number(/x="(\d+)"/.exec(bar)?.[1]);
  expect(at(slower)).toBeLessThan(at(faster));
});

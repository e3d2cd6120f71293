/** `npm run bench`: every workload, ours and its peers in the same run. `npm run bench -- --help` says the rest. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { chartOf } from "./chart.ts";
import { type Measured, measure, type Row } from "./harness.ts";
import { askedOf, merged, type Report, reportRow, spread, tableOf, withTable } from "./report.ts";
import { curveLines, measureScale, scaleNames } from "./scale.ts";
import { machine, versions } from "./versions.ts";
import { sectionOf, whereOf, withSections } from "./where.ts";
import { bytesChanged } from "./workloads/bytes-changed.ts";
import { cda } from "./workloads/cda.ts";
import { corridor } from "./workloads/corridor.ts";
import { dicomAccept } from "./workloads/dicom-accept.ts";
import { dicomSend } from "./workloads/dicom-send.ts";
import { envelopeParts } from "./workloads/envelope-parts.ts";
import { mllpAccept, mllpLimits } from "./workloads/mllp-accept.ts";
import { nation } from "./workloads/nation.ts";
import { nightBatch } from "./workloads/night-batch.ts";
import { registryLarge, registryStore } from "./workloads/registry-store.ts";
import { registryWire } from "./workloads/registry-wire.ts";
import { retrieval } from "./workloads/retrieve.ts";
import { sealLarge, sealOpen } from "./workloads/seal-open.ts";
import { storeAccept } from "./workloads/store-accept.ts";
import { storeLarge } from "./workloads/store-large.ts";
import { stored } from "./workloads/stored.ts";

const groups = {
  "mllp-accept": mllpAccept,
  "mllp-limits": mllpLimits,
  "night-batch": nightBatch,
  "dicom-accept": dicomAccept,
  "dicom-send": dicomSend,
  "bytes-changed": bytesChanged,
  "seal-open": sealOpen,
  "envelope-parts": envelopeParts,
  cda,
  corridor,
  retrieval,
  "seal-large": sealLarge,
  "store-accept": storeAccept,
  "store-large": storeLarge,
  stored,
  "registry-store": registryStore,
  "registry-wire": registryWire,
  "registry-large": registryLarge,
  nation,
} as const;

type Asked = {
  readonly only?: readonly string[];
  readonly quick: boolean;
  readonly profile: boolean;
  readonly json: boolean;
  readonly repetitions?: string;
  readonly seconds?: string;
  readonly write: boolean;
};

const values = new Command("npm run bench --")
  .description("Measures semrs beside its peers in the same run, and checks what each has done.")
  .option("--only <name...>", "these groups or curves alone, those that take long too")
  .option("--quick", "once and small, in two minutes: whether a change made something slow", false)
  .option("--repetitions <n>", "of each side, in turn (default: 5)")
  .option("--seconds <n>", "how long nation goes on (default: 600)")
  .option("--profile", "where the time of ours goes, in one more run; with --write in docs/profiles.md", false)
  .option("--json", "figures as one line of JSON", false)
  .option("--write", "keep them in docs/benchmarks.json, the table of docs/benchmarks.md and the chart", false)
  .addHelpText("after", `\nGroups: ${Object.keys(groups).join(", ")}\nCurves: ${scaleNames.join(", ")}`)
  .parse()
  .opts<Asked>();
/** Of these the first row: messages, instances, sealing, documents, the way to the registry and the disk. */
const quickest = ["mllp-accept", "dicom-accept", "seal-open", "envelope-parts", "cda", "corridor", "store-accept"];
const isOverview = values.quick && !values.only;
const all = Object.keys(groups).filter((name) => !name.endsWith("-large") && name !== "nation");
const named = values.only ?? (values.quick ? quickest : all);
/** Curves are no rows: only when they are named. */
const unknown = named.filter((name) => !(name in groups) && !scaleNames.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`${unknown.join(", ")}: there is ${[...Object.keys(groups), ...scaleNames].join(", ")}\n`);
  process.exit(64);
}
const wanted = named.filter((name): name is keyof typeof groups => name in groups);

const repetitions = Number(values.repetitions ?? (values.quick ? 1 : 5));
const told = (text: string): void => void (process.stderr.isTTY && process.stderr.write(`\r\u001b[K${text}`));
const rows: Row[] = [];
const sections: string[] = [];
const date = new Date().toISOString().slice(0, 10);
for (const name of wanted) {
  const options = { isQuick: values.quick, ...(values.seconds && { seconds: Number(values.seconds) }) };
  for (const workload of (await groups[name](options)).slice(0, isOverview ? 1 : undefined)) {
    const row = await measure(workload, { repetitions, isQuick: values.quick, told });
    rows.push(row);
    told("");
    if (!values.json) process.stdout.write(`${linesOf(row).join("\n")}\n\n`);
    const where = values.profile ? await whereOf(workload, values.quick) : undefined;
    if (!where) continue;
    sections.push(sectionOf(where, date));
    if (!values.json) process.stdout.write(`${sections.at(-1)}\n`);
  }
}
const curves = await measureScale(named, values.quick ? 1 : repetitions, values.quick, told);
told("");
if (!values.json) for (const curve of curves) process.stdout.write(`${curveLines(curve).join("\n")}\n\n`);
const report: Report = {
  date,
  machine: machine(),
  versions: versions(),
  rows: rows.map((row) => reportRow(row, date)),
  curves,
};
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
else process.stdout.write(`minimum / median / maximum of ${repetitions}, sides in turn · ${report.machine}\n`);
if (values.quick && !values.json)
  process.stdout.write("quick: once and small, each result checked; for figures that count, without --quick\n");
if (values.write) write(report);

/** Rows that were not measured now stay as they are, with their date: all are measured before a release. */
function write(now: Report): void {
  const docs = join(import.meta.dirname, "..", "docs");
  const [json, page] = [join(docs, "benchmarks.json"), join(docs, "benchmarks.md")];
  const before = existsSync(json) ? (JSON.parse(readFileSync(json, "utf8")) as Report) : undefined;
  const whole = merged(before, now);
  writeFileSync(json, `${JSON.stringify(whole, null, 2)}\n`);
  writeFileSync(page, withTable(readFileSync(page, "utf8"), tableOf(whole)));
  writeFileSync(join(docs, "benchmarks.svg"), chartOf(whole));
  const profiles = join(docs, "profiles.md");
  if (sections.length > 0) writeFileSync(profiles, withSections(readFileSync(profiles, "utf8"), sections));
}

function linesOf({ name, unit, ours, peers, target, met }: Row): readonly string[] {
  return [
    `${name}${met === null ? "" : `  [${met ? "met" : "MISSED"}: ${askedOf(target)}]`}`,
    `  semrs            ${text(ours, unit)}`,
    ...(ours.note === undefined ? [] : [`  ${ours.note}`]),
    ...peers.map((peer) => {
      const remark = peer.remark ? ` (${peer.remark})` : "";
      if ("missing" in peer) return `  ${peer.name.padEnd(16)} missing: ${peer.missing}`;
      const ratio = target?.most === undefined ? ` · ours ${peer.ratio.toFixed(2)} ×` : "";
      const note = peer.measured.note === undefined ? "" : ` · ${peer.measured.note}`;
      return `  ${peer.name.padEnd(16)} ${text(peer.measured, unit)}${ratio}${note}${remark}`;
    }),
  ];
}

function text({ rate, cpuMs, rssMb, tailMs }: Measured, unit: string): string {
  const cpu = cpuMs.median > 0 ? `${spread(cpuMs, 2)} ms CPU each` : "";
  const memory = rssMb > 0 ? `${rssMb.toFixed(0)} MB` : "";
  const tail = tailMs ? `99 of 100 in ${spread(tailMs, 2)} ms` : "";
  return [`${spread(rate, rate.median < 20 ? 2 : 0)} ${unit}`, cpu, tail, memory]
    .filter((told) => told !== "")
    .join(" · ");
}

/** `npm run bench`: every workload, ours and its peers in the same run. --only NAME, --quick, --json, --repetitions N. */
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { type Measured, measure, type Row } from "./harness.ts";
import { cda } from "./workloads/cda.ts";
import { corridor } from "./workloads/corridor.ts";
import { dicomAccept } from "./workloads/dicom-accept.ts";
import { dicomSend } from "./workloads/dicom-send.ts";
import { envelopeParts } from "./workloads/envelope-parts.ts";
import { mllpAccept, mllpLimits } from "./workloads/mllp-accept.ts";
import { sealLarge, sealOpen } from "./workloads/seal-open.ts";
import { storeAccept } from "./workloads/store-accept.ts";

const groups = {
  "mllp-accept": mllpAccept,
  "mllp-limits": mllpLimits,
  "dicom-accept": dicomAccept,
  "dicom-send": dicomSend,
  "seal-open": sealOpen,
  "envelope-parts": envelopeParts,
  cda,
  corridor,
  "seal-large": sealLarge,
  "store-accept": storeAccept,
} as const;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    repetitions: { type: "string" },
  },
});
const wanted = (values.only ?? Object.keys(groups).filter((name) => name !== "seal-large")) as (keyof typeof groups)[];
const unknown = wanted.filter((name) => !(name in groups));
if (unknown.length > 0) {
  process.stderr.write(`${unknown.join(", ")}: there is ${Object.keys(groups).join(", ")}\n`);
  process.exit(64);
}

const repetitions = Number(values.repetitions ?? (values.quick ? 2 : 5));
const machine = `${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
const told = (text: string): void => void (process.stderr.isTTY && process.stderr.write(`\r\u001b[K${text}`));
const rows: Row[] = [];
for (const name of wanted) {
  for (const workload of groups[name]()) {
    const row = await measure(workload, { repetitions, isQuick: values.quick, told });
    rows.push(row);
    told("");
    if (!values.json) process.stdout.write(`${linesOf(row).join("\n")}\n\n`);
  }
}
if (values.json) process.stdout.write(`${JSON.stringify({ machine, repetitions, rows })}\n`);
else process.stdout.write(`minimum / median / maximum of ${repetitions}, sides in turn · ${machine}\n`);

function linesOf({ name, unit, ours, peers, target, met }: Row): readonly string[] {
  const asked = Object.entries(target ?? {}).map(([key, value]) => `${key} ${value}`);
  return [
    `${name}${met === null ? "" : `  [${met ? "met" : "MISSED"}: ${asked.join(", ")}]`}`,
    `  semrs            ${text(ours, unit)}`,
    ...peers.map((peer) => {
      const remark = peer.remark ? ` (${peer.remark})` : "";
      if ("missing" in peer) return `  ${peer.name.padEnd(16)} missing: ${peer.missing}`;
      return `  ${peer.name.padEnd(16)} ${text(peer.measured, unit)} · ours ${peer.ratio.toFixed(2)} ×${remark}`;
    }),
  ];
}

function text({ rate, cpuMs, rssMb }: Measured, unit: string): string {
  const three = ({ min, median, max }: Measured["rate"], digits: number): string =>
    [min, median, max].map((value) => value.toFixed(digits)).join(" / ");
  return `${three(rate, rate.median < 20 ? 2 : 0)} ${unit} · ${three(cpuMs, 2)} ms CPU each · ${rssMb.toFixed(0)} MB`;
}

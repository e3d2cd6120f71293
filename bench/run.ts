/**
 * Measures what this version does: each row is a workload with a check of its result, repeated; rate, CPU of the site's
 * process per unit, and its largest memory. `npm run bench` prints the table; `--json` prints the rows.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openAdminClient } from "../commands/admin-client.ts";
import type { Ready } from "../commands/demo/index.ts";
import type { Item } from "../connectors/connector.ts";
import { type DicomItem, dicomDestination } from "../connectors/dicom/scu.ts";
import { mllpDestination } from "../connectors/mllp/index.ts";
import { readHead } from "../formats/dicom.ts";
import { ctStudy } from "../test/fixtures/dicom.ts";
import { cda, chen, mdmFor } from "../test/fixtures/documents.ts";

type Row = {
  readonly name: string;
  readonly unit: string;
  readonly rates: readonly number[];
  readonly cpuMs: readonly number[];
  readonly rssMb: number;
};

const root = join(import.meta.dirname, "..");
const repetitions = 3;
const documentsARun = 400;
const instancesARun = 120;
const clockTicks = 100;
const context = { log: () => undefined, signal: new AbortController().signal };

const folder = join(mkdtempSync(join(tmpdir(), "semrs-bench-")), "demo");
const demo = spawn(process.execPath, [join(root, "semrs.js"), "demo", "--json", "--no-sample", "--folder", folder], {
  stdio: ["ignore", "pipe", "ignore"],
});
const ready = await readyLine();
const site = ready["hospital-a"];
const admin = openAdminClient(site.admin, site.data);
let number = 0;

const rows = [
  await row("MDM^T02 with a 30 KB CDA, AA after validation, 8 connections", "messages/s", () => messages(8)),
  await row("the same, until sealed, stored and registered", "records/s", () => {
    const send = messages(8);
    return async () => {
      const sent = await send();
      await registered();
      return sent;
    };
  }),
  await row("C-STORE in, CT of 525 kB, sealed and fsynced, 1 association", "instances/s", () => instances(1)),
  await row("C-STORE in, CT of 525 kB, sealed and fsynced, 4 associations", "instances/s", () => instances(4)),
];
print(rows);
const ended = once(demo, "exit");
demo.kill("SIGTERM");
await ended;

async function readyLine(): Promise<Ready> {
  if (!demo.stdout) throw new Error("the demo has no output");
  for await (const line of createInterface({ input: demo.stdout }))
    if (line.startsWith("{")) return JSON.parse(line) as Ready;
  throw new Error("the demo did not start");
}

/** Repeats a workload after one run that only warms up. `prepare` makes its data; what it returns resolves with how many units were done and checked. */
async function row(name: string, unit: string, prepare: () => () => Promise<number>): Promise<Row> {
  await prepare()();
  await registered();
  const rates: number[] = [];
  const cpuMs: number[] = [];
  for (let run = 0; run < repetitions; run += 1) {
    const work = prepare();
    const [started, before] = [performance.now(), cpu()];
    const done = await work();
    rates.push((done * 1000) / (performance.now() - started));
    await registered();
    cpuMs.push((cpu() - before) / done);
  }
  return { name, unit, rates, cpuMs, rssMb: peakRss() };
}

function messages(connections: number): () => Promise<number> {
  const [host = "", port = ""] = site.mllp.split(":");
  const options = mllpDestination.options.parse({ host, port: Number(port) });
  const items = Array.from({ length: documentsARun }, (): Item => {
    number += 1;
    const controlId = `B${number}`;
    const body = `<paragraph>${"血紅素 13.2 g/dL; ".repeat(1_200)}${number}</paragraph>`;
    const report = cda({
      form: "113",
      extension: `BENCH.${number}`,
      patient: chen,
      code: "11502-2",
      display: "x",
      title: "檢驗報告",
      body,
    });
    const bytes = mdmFor(report, { controlId });
    return { controlId, size: bytes.length, body: () => one(bytes) };
  });
  return async () => {
    let accepted = 0;
    const count = (_item: Item, { state }: { state: string }) => {
      if (state === "delivered") accepted += 1;
    };
    const share = (connection: number) => each(items.filter((_, index) => index % connections === connection));
    await Promise.all(
      Array.from({ length: connections }, (_, connection) =>
        mllpDestination.send(options, share(connection), count, context),
      ),
    );
    if (accepted !== documentsARun) throw new Error(`${accepted} of ${documentsARun} messages were accepted`);
    return accepted;
  };
}

function instances(associations: number): () => Promise<number> {
  number += 1;
  const study = ctStudy({
    instancesPerSeries: instancesARun / 2,
    size: 512,
    studyUid: `2.25.9${number}`,
    accession: `BENCH${number}`,
  });
  const [, host = "", port = ""] = /@(.*):(\d+)$/.exec(site.dicom) ?? [];
  const options = dicomDestination.options.parse({
    host,
    port: Number(port),
    callingAeTitle: "PACS_A",
    calledAeTitle: "SEMRS_A",
    associations,
  });
  const items = study.map(({ bytes }): DicomItem => {
    const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readHead(bytes);
    return { controlId: sopInstanceUid, size: bytes.length, sopClassUid, transferSyntaxUid, body: () => one(bytes) };
  });
  return async () => {
    let accepted = 0;
    const count = (_item: Item, { state }: { state: string }) => {
      if (state === "delivered") accepted += 1;
    };
    await dicomDestination.send(options, each(items), count, context);
    if (accepted !== instancesARun) throw new Error(`${accepted} of ${instancesARun} instances were accepted`);
    return accepted;
  };
}

/** Nothing of the site's documents is under way any more. */
async function registered(): Promise<void> {
  for (;;) {
    const { deliveries, records } = await admin.get<{
      deliveries: Record<string, number>;
      records: Record<string, number>;
    }>("/counts");
    if ((deliveries.queued ?? 0) + (deliveries.inflight ?? 0) + (records.stored ?? 0) === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** CPU of hospital A's process so far, milliseconds (proc(5): utime and stime). */
function cpu(): number {
  const stat = readFileSync(`/proc/${site.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / clockTicks;
}

function peakRss(): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${site.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

function print(measured: readonly Row[]): void {
  if (process.argv.includes("--json")) {
    process.stdout.write(
      `${JSON.stringify({ machine: `${cpus().length} × ${cpus()[0]?.model ?? "?"}`, node: process.version, rows: measured })}\n`,
    );
    return;
  }
  const figures = (values: readonly number[], digits: number) =>
    [...values]
      .sort((a, b) => a - b)
      .map((value) => value.toFixed(digits))
      .join(" / ");
  for (const { name, unit, rates, cpuMs, rssMb } of measured) {
    process.stdout.write(
      `${name}\n  ${figures(rates, 0)} ${unit} · ${figures(cpuMs, 2)} ms CPU each · peak ${rssMb.toFixed(0)} MB\n`,
    );
  }
  process.stdout.write(
    `minimum / median / maximum of ${repetitions} · ${cpus().length} × ${cpus()[0]?.model ?? "?"} · Node ${process.version}\n`,
  );
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

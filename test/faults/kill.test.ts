/** kill -9 of hospital A in mid-load: nothing acknowledged is missing at B. Drives the demo's processes as a script would. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { openAdminClient } from "../../commands/admin-client.ts";
import type { Ready } from "../../commands/demo/index.ts";
import type { Item, Outcome } from "../../connectors/connector.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import { readHead } from "../../formats/dicom.ts";
import type { Balance } from "../../pipeline/reconcile.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { sha256, until } from "../sites.ts";

const root = join(import.meta.dirname, "..", "..");
const context = { log: () => undefined, signal: new AbortController().signal };
let demo: ChildProcess | undefined;

afterEach(async () => {
  if (!demo || demo.exitCode !== null) return;
  const ended = once(demo, "exit");
  demo.kill("SIGTERM");
  await ended;
});

async function start(): Promise<Ready> {
  const folder = join(mkdtempSync(join(tmpdir(), "semrs-kill-")), "demo");
  demo = spawn(process.execPath, [join(root, "semrs.js"), "demo", "--json", "--no-sample", "--folder", folder], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  if (!demo.stdout) throw new Error("no output");
  for await (const line of createInterface({ input: demo.stdout }))
    if (line.startsWith("{")) return JSON.parse(line) as Ready;
  throw new Error("the demo ended");
}

const split = (address: string): { host: string; port: number } => ({
  host: "127.0.0.1",
  port: Number(address.split(":").at(-1)),
});

async function send(address: string, message: Uint8Array, controlId: string): Promise<boolean> {
  const item: Item = { controlId, size: message.length, body: () => one(message) };
  let outcome: Outcome | undefined;
  await mllpDestination
    .send(
      mllpDestination.options.parse({ ...split(address), responseSeconds: 5 }),
      one(item),
      (_item, said) => (outcome = said),
      context,
    )
    .catch(() => undefined);
  return outcome?.state === "delivered";
}

test("everything that was acknowledged before, between and after two kills arrives at B, byte for byte", async () => {
  const ready = await start();
  const acknowledged = new Set<string>();
  const instances = new Set<string>();
  let isOver = false;
  let number = 0;
  const his = async (): Promise<void> => {
    while (!isOver) {
      number += 1;
      const controlId = `K${number}`;
      const patient = patientOf(number);
      const report = cda({
        form: "113",
        extension: `KILL.${number}`,
        patient,
        code: "11502-2",
        display: "x",
        title: "檢驗報告",
        body: `<paragraph>${number}</paragraph>`,
      });
      if (await send(ready["hospital-a"].mllp, mdmFor(report, { controlId, patient }), controlId))
        acknowledged.add(sha256(report));
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const pacs = async (): Promise<void> => {
    for (let first = 1; !isOver; first += 4) {
      const items = ctStudy({ instancesPerSeries: 4, first }).map(({ bytes }): DicomItem => {
        const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readHead(bytes);
        return {
          controlId: sopInstanceUid,
          size: bytes.length,
          sopClassUid,
          transferSyntaxUid,
          body: () => one(bytes),
        };
      });
      const options = dicomDestination.options.parse({
        ...split(ready["hospital-a"].dicom),
        callingAeTitle: "PACS_A",
        calledAeTitle: "SEMRS_A",
      });
      const report = (item: Item, outcome: Outcome) =>
        void (outcome.state === "delivered" && instances.add(item.controlId));
      await dicomDestination
        .send(options, each(items), report, context)
        .catch(() => new Promise((resolve) => setTimeout(resolve, 50)));
    }
  };
  const load = [his(), his(), his(), pacs()];
  const balanced = async (): Promise<void> => {
    const { holds, channels, acknowledged: kept } = await balanceOf(ready, "hospital-a");
    const accepted = channels.reduce((sum, each) => sum + each.accepted, 0);
    expect({ holds, channels }).toMatchObject({ holds: true });
    // The journal is read before the index; both go on meanwhile.
    expect(accepted).toBeGreaterThanOrEqual(kept);
  };
  const current = async (): Promise<number> => Number(await pidOf(ready));
  for (let kill = 0; kill < 2; kill += 1) {
    const before = acknowledged.size + instances.size;
    await until("load is under way", () => acknowledged.size + instances.size > before + 60);
    await balanced();
    process.kill(await current(), "SIGKILL");
  }
  const before = acknowledged.size;
  await until("acknowledged again after the kills", () => acknowledged.size > before + 20);
  await balanced();
  isOver = true;
  await Promise.all(load);

  const report = cda({
    form: "116",
    extension: "KILL.REPORT",
    patient: chen,
    code: "18782-3",
    display: "x",
    title: "報告",
    study: { uid: "2.25.116001", accession: "ACC20260116", series: [], modality: "CT" },
    body: "x",
  });
  await until("the report is acknowledged", () =>
    send(ready["hospital-a"].mllp, mdmFor(report, { controlId: "REPORT" }), "REPORT"),
  );
  acknowledged.add(sha256(report));
  const has = (folder: string, extension: string) =>
    new Set(readdirSync(folder).map((name) => name.replace(extension, "")));
  const missing = () => [...acknowledged].filter((digest) => !has(ready["hospital-b"].his, ".cda").has(digest));
  const missingInstances = () => [...instances].filter((uid) => !has(ready["hospital-b"].pacs, ".dcm").has(uid));
  const patients = new Set([
    chen.national,
    ...Array.from({ length: number }, (_, index) => patientOf(index + 1).national),
  ]);
  let ask = 0;
  const admitAll = async (): Promise<void> => {
    for (const national of patients) {
      ask += 1;
      await send(
        ready["hospital-b"].admissions,
        adtFor(`${national}^^^MOI^NI`, { controlId: `KADT${ask}` }),
        `KADT${ask}`,
      );
    }
  };
  await until("nothing waits at A any more", async () => {
    const { items, deliveries } = await counts(ready);
    return (items.waiting ?? 0) + (deliveries.queued ?? 0) + (deliveries.inflight ?? 0) === 0;
  });
  await admitAll();
  await until("all that was acknowledged is at B", () => missing().length + missingInstances().length === 0, 40_000);
  const atA = await balanceOf(ready, "hospital-a");
  const open = atA.channels.map(({ queued, held, parked, lost }) => queued + held + parked + lost);
  expect(open.every((count) => count === 0)).toBe(true);
  expect(atA.channels.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(atA.acknowledged);
  expect(atA.acknowledged).toBeGreaterThanOrEqual(acknowledged.size + instances.size);
  expect((await balanceOf(ready, "hospital-b")).holds).toBe(true);
  expect(acknowledged.size).toBeGreaterThan(60);
  expect(instances.size).toBeGreaterThan(8);
}, 120_000);

/** Not more reports a patient than one admission fetches. */
const patientOf = (number: number): typeof chen => ({
  ...chen,
  national: `A2${String(Math.floor(number / 20)).padStart(8, "0")}`,
});

const counts = async (ready: Ready): Promise<Record<"items" | "deliveries", Record<string, number>>> =>
  await openAdminClient(ready["hospital-a"].admin, ready["hospital-a"].data).get("/counts");

const balanceOf = async (ready: Ready, site: "hospital-a" | "hospital-b"): Promise<Balance> =>
  await openAdminClient(ready[site].admin, ready[site].data).get("/status");

/** The demo starts a killed site again; its lock file names the process that has it now. */
async function pidOf(ready: Ready): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  return (await readFile(join(ready["hospital-a"].data, "semrs.lock"), "utf8")).split(" ")[0] ?? "";
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

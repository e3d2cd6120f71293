/**
 * One multi-frame instance of some gigabytes from storescu at A to storescp at B, through both houses: what memory it takes.
 * `node bench/large-instance.ts [GIGABYTES]`; DCMTK must be there, and five times the size free in the folder for temporary files.
 */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, createReadStream, openSync, readdirSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { openAdminClient } from "../commands/admin-client.ts";
import { ports } from "../commands/demo/ports.ts";
import { startReceivers } from "../commands/demo/receivers.ts";
import { portNames, startSiteProcess } from "../commands/demo/sites.ts";
import { initPki } from "../commands/pki/index.ts";
import { readMeta } from "../formats/dicom.ts";
import { readMsh } from "../formats/hl7.ts";
import { multiFrame } from "../test/fixtures/dicom.ts";
import { sampleMessage } from "../test/fixtures/documents.ts";
import { rssOf } from "./harness.ts";
import { sendMessages } from "./mllp-load.ts";
import { counted, fresh, startPeer } from "./subjects.ts";

const root = join(import.meta.dirname, "..");
const siteNames = ["registry", "hospital-a", "hospital-b"] as const;
const patienceMs = 900_000;
const frames = 10;
const sample = { rows: 128, frameBytes: 128 * 128 * 2 } as const;

/** Ten frames as large as asked, of the sample's study: its rows, columns and the length of its pixel data are other ones. */
function writeInstance(path: string, gigabytes: number): void {
  const rows = Math.floor(Math.sqrt((gigabytes * 1e9) / 2 / frames / 256)) * 16;
  const whole = Buffer.from(multiFrame()[0]?.bytes ?? []);
  const head = whole.subarray(0, whole.length - frames * sample.frameBytes);
  for (const tag of [0x10, 0x11]) {
    const at = head.indexOf(Uint8Array.of(0x28, 0, tag, 0, 0x55, 0x53, 2, 0));
    if (at < 0 || head.readUInt16LE(at + 8) !== sample.rows) throw new Error("the sample has other rows and columns");
    head.writeUInt16LE(rows, at + 8);
  }
  head.writeUInt32LE(rows * rows * 2 * frames, head.length - 4);
  const file = openSync(path, "w", 0o600);
  writeSync(file, head);
  for (let left = rows * rows * 2 * frames; left > 0; ) left -= writeSync(file, randomBytes(Math.min(left, 1 << 24)));
  closeSync(file);
}

/** SHA-256 of the data set behind the meta information. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  let offset: number | undefined;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(offset === undefined ? chunk.subarray(readMeta(chunk as Buffer).offset) : (chunk as Buffer));
    offset ??= 0;
  }
  return hash.digest("hex");
}

const gigabytes = Number(process.argv[2] ?? 2);
const folder = fresh("large");
const stops: (() => Promise<unknown>)[] = [];
const signal = new AbortController().signal;
try {
  const path = join(folder, "large.dcm");
  writeInstance(path, gigabytes);
  await initPki(join(folder, "pki"), siteNames, { now: new Date() });
  const receivers = await startReceivers(join(folder, "receivers"), signal);
  stops.push(receivers.stop);
  const { PACS_B = "", ...chosen } = await ports([...portNames, "PACS_B"]);
  const pacs = receivers.pacs.folder;
  const storescp = ["+B", "-pdu", "131072", "-aet", "PACS_B", "-od", pacs, PACS_B];
  stops.push((await startPeer("storescp", storescp, Number(PACS_B))).stop);
  const env = {
    ...{ PKI: join(folder, "pki"), DATA: join(folder, "data"), QUIET: "2s", EVERY: "1s", AGAIN_1: "1s", AGAIN_2: "5s" },
    ...{ B_HIS: receivers.his.address.split(":")[1] ?? "", B_PACS: PACS_B, ...chosen },
  };
  const pids = new Map<string, number>();
  for (const name of siteNames) {
    const config = join(root, name === "registry" ? "examples/registry.yaml" : "channels.yaml");
    const site = await startSiteProcess(name, config, env, () => undefined);
    stops.push(site.stop);
    pids.set(name, site.pid());
  }
  const told = (what: string): void => {
    const each = [...pids].map(([name, pid]) => `${name} ${rssOf(pid).toFixed(0)} MB`);
    process.stdout.write(`${what}: largest resident memory ${each.join(", ")}\n`);
  };
  told("started");
  const message = (name: "mdm-t02-116" | "adt-a01", port = "0") => {
    const bytes = sampleMessage(name);
    const body = async function* () {
      yield bytes;
    };
    return sendMessages([{ controlId: readMsh(bytes).controlId, size: bytes.length, body }], Number(port), 1);
  };
  const atA = openAdminClient(`http://127.0.0.1:${chosen.A_ADMIN}`, join(folder, "data", "hospital-a"));
  await message("mdm-t02-116", chosen.A_HIS);
  const started = performance.now();
  const storescu = [
    "-R",
    "-pdu",
    "131072",
    "-aet",
    "PACS_A",
    "-aec",
    "SEMRS_A",
    "127.0.0.1",
    chosen.A_PACS ?? "",
    path,
  ];
  await promisify(execFile)("storescu", storescu, { env: { ...process.env, TCP_NODELAY: "1" } });
  told(`received at A in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  const registered = async () =>
    (await atA.get<{ records: Record<string, number> }>("/counts")).records.registered ?? 0;
  await counted("registered", 1, registered, patienceMs);
  await message("adt-a01", chosen.B_ADT);
  const size = statSync(path).size;
  // The name of what storescp writes, and its meta information, are its own: the size tells when all is there.
  const files = () => readdirSync(pacs).filter((name) => statSync(join(pacs, name)).size > size - 4096);
  await counted("instances at storescp", 1, () => files().length, patienceMs);
  const [sent, received] = [await digestOf(path), await digestOf(join(pacs, files()[0] ?? ""))];
  told(
    `${size} octets at B after ${((performance.now() - started) / 1000).toFixed(1)} s, ${sent === received ? "equal" : "NOT EQUAL"}`,
  );
  if (sent !== received) process.exitCode = 1;
} finally {
  for (const stop of stops.reverse()) await stop();
  rmSync(folder, { recursive: true, force: true });
}

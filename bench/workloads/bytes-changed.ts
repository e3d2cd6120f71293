/**
 * What happens to real instances on their way to a PACS: how many do not arrive with the data set that was sent. Ours goes the whole
 * way, PACS A to PACS B by seal, registry, retrieve and open; peers go one association, straight to the same receiver.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { startReceivers } from "../../commands/demo/receivers.ts";
import type { Item } from "../../connectors/connector.ts";
import type { DicomItem } from "../../connectors/dicom/scu.ts";
import { Fault } from "../../errors.ts";
import { readHead, readMeta } from "../../formats/dicom.ts";
import { ctStudy } from "../../test/fixtures/dicom.ts";
import { factsOf } from "../../test/fixtures/dicom-facts.ts";
import { adtFor, cda, chen, mdmFor } from "../../test/fixtures/documents.ts";
import { fixtures } from "../../test/peers.ts";
import type { Done, Side, Workload } from "../harness.ts";
import { sendInstances } from "../load.ts";
import { sendMessages } from "../mllp-load.ts";
import { counted, fresh, missing, startExchange } from "../subjects.ts";

type File = {
  readonly path: string;
  readonly bytes: Buffer;
  readonly uid: string;
  readonly study: string;
  readonly patientId: string | null;
};

/** Data sets at a PACS, by SOP Instance UID: SHA-256. */
type Held = ReadonlyMap<string, string>;
/** Sends files, none of them with the UID of another, and tells what the receiver holds then. */
type Way = (files: readonly File[]) => Promise<Held>;

/** `DICOM_FILES` names a folder of one's own; without it what lies beside the checkout, else instances that are made. */
export const bytesChanged = async (): Promise<readonly Workload[]> => {
  const beside = fixtures("dicom");
  const folder = process.env.DICOM_FILES ?? (beside.available ? beside.path : undefined);
  const files = await (folder === undefined ? madeFiles() : filesIn(folder));
  const what = folder === undefined ? "made" : "real";
  return [
    {
      name: `instances that do not arrive as they were sent, of ${files.length} ${what} ones`,
      unit: "instances",
      target: { most: 0 },
      units: files.length,
      quick: files.length,
      ours: side("semrs", throughHouses, files, "PACS A to PACS B, sealed between"),
      peers: [
        side("storescu", storescu, files, "one association, in the syntax of the file", "storescu"),
        side("dcmjs-dimse", dimse, files, "one association"),
      ],
    },
  ];
};

const side = (name: string, way: Way, files: readonly File[], remark: string, program?: string): Side => ({
  name,
  remark,
  start: async () => {
    const reason = program && missing(program);
    if (reason) return { missing: reason };
    return { run: (units) => changed(way, files.slice(0, units)), stop: async () => undefined };
  },
});

/** Every file, in as few runs as their UIDs allow. */
async function changed(way: Way, files: readonly File[]): Promise<Done> {
  let [missed, other] = [0, 0];
  for (const each of apart(files)) {
    const held = await way(each);
    for (const { uid, bytes } of each) {
      if (!held.has(uid)) missed += 1;
      else if (held.get(uid) !== dataSetSha256(bytes)) other += 1;
    }
  }
  return { units: missed + other, seconds: 1, cpuMs: 0, note: `${other} changed, ${missed} not there` };
}

/** Groups without a SOP Instance UID, or a study, of another of the group: third-party files share them. */
function apart(files: readonly File[]): readonly (readonly File[])[] {
  const groups: File[][] = [];
  for (const file of files) {
    const group = groups.find((each) => !each.some(({ uid, study }) => uid === file.uid || study === file.study));
    if (group) group.push(file);
    else groups.push([file]);
  }
  return groups;
}

/** A report for each study sends it on its way. */
const throughHouses: Way = async (files) => {
  const exchange = await startExchange({ QUIET: "300ms" });
  try {
    const [a, b] = [exchange.ready["hospital-a"], exchange.ready["hospital-b"]];
    await sendInstances(files.map(itemOf), portOf(a.dicom), "SEMRS_A", 1);
    await sendMessages(files.map(reportOf), portOf(a.mllp), 1);
    const registered = async (): Promise<number> => (await exchange.a.get<Counts>("/counts")).records.registered ?? 0;
    await counted("registered", files.length, registered);
    const admission = adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADM" });
    await sendMessages([messageOf("ADM", admission)], portOf(b.admissions), 1);
    await counted("instances at PACS B", files.length, () => heldAt(b.pacs).size);
    return heldAt(b.pacs);
  } finally {
    await exchange.stop();
  }
};
type Counts = { readonly records: Readonly<Record<string, number>> };

const syntaxes: Readonly<Record<string, string>> = {
  "1.2.840.10008.1.2": "-xi",
  "1.2.840.10008.1.2.1": "-xe",
  "1.2.840.10008.1.2.2": "-xb",
  "1.2.840.10008.1.2.1.99": "-xd",
  "1.2.840.10008.1.2.4.50": "-xy",
  "1.2.840.10008.1.2.4.51": "-xx",
  "1.2.840.10008.1.2.4.70": "-xs",
  "1.2.840.10008.1.2.4.80": "-xt",
  "1.2.840.10008.1.2.4.81": "-xu",
  "1.2.840.10008.1.2.4.90": "-xv",
  "1.2.840.10008.1.2.4.91": "-xw",
  "1.2.840.10008.1.2.5": "-xr",
};

const storescu: Way = (files) =>
  toReceiver(async (port) => {
    for (const { path, bytes } of files) {
      const syntax = syntaxes[readHead(bytes).transferSyntaxUid] ?? "-x=";
      const args = [syntax, "-R", "-aet", "PACS_A", "-aec", "PACS_B", "127.0.0.1", port, path];
      await promisify(execFile)("storescu", args).catch(() => undefined);
    }
  });

const dimse: Way = (files) =>
  toReceiver(async (port) => {
    const program = join(import.meta.dirname, "..", "dimse-sender.ts");
    await promisify(execFile)(process.execPath, [program, port, ...files.map(({ path }) => path)]);
  });

async function toReceiver(send: (port: string) => Promise<void>): Promise<Held> {
  const { pacs, stop } = await startReceivers(fresh("pacs"), new AbortController().signal);
  try {
    await send(String(portOf(pacs.address)));
    return heldAt(pacs.folder);
  } finally {
    await stop();
  }
}

const heldAt = (pacs: string): Held =>
  new Map(
    readdirSync(pacs)
      .filter((name) => !name.startsWith(".") && name.endsWith(".dcm"))
      .map((name) => [name.slice(0, -".dcm".length), dataSetSha256(readFileSync(join(pacs, name)))]),
  );

const dataSetSha256 = (file: Uint8Array): string =>
  createHash("sha256")
    .update(file.subarray(readMeta(file).offset))
    .digest("hex");

const portOf = (address: string): number => Number(address.split(":").at(-1));

/** Part 10 files that can be stored: others are refused, which the tests count. */
async function filesIn(folder: string): Promise<readonly File[]> {
  const files: File[] = [];
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const bytes = readFileSync(path);
    try {
      const { sopInstanceUid: uid, studyInstanceUid: study, patientId } = await factsOf(bytes);
      if (uid === readHead(bytes).sopInstanceUid) files.push({ path, bytes, uid, study, patientId });
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
    }
  }
  return files;
}

/** Where there are no others. */
function madeFiles(): Promise<readonly File[]> {
  const to = fresh("instances");
  for (const { bytes, sopInstanceUid } of ctStudy({ instancesPerSeries: 4 }))
    writeFileSync(join(to, `${sopInstanceUid}.dcm`), bytes);
  return filesIn(to);
}

const itemOf = ({ bytes, uid }: File): DicomItem => {
  const { sopClassUid, transferSyntaxUid } = readHead(bytes);
  return { controlId: uid, size: bytes.length, sopClassUid, transferSyntaxUid, body: () => one(bytes) };
};

const messageOf = (controlId: string, bytes: Uint8Array): Item => ({
  controlId,
  size: bytes.length,
  body: () => one(bytes),
});

function reportOf({ study, patientId }: File, n: number): Item {
  const report = cda({
    form: "116",
    extension: `BYTES.${n}`,
    patient: { ...chen, chart: patientId ?? chen.chart },
    code: "18782-3",
    display: "x",
    title: "x",
    study: { uid: study, accession: "NONE", series: [], modality: "OT" },
    body: "x",
  });
  const controlId = `BYTES${n}`;
  return messageOf(controlId, mdmFor(report, { controlId, identifiers: `${chen.national}^^^MOI` }));
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

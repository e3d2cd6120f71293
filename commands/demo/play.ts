/** Plays HIS A, PACS A and HIS B with the project's own sample data, and compares what was sent with what was received. */
import { hash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Item, Outcome } from "../../connectors/connector.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import { Fault } from "../../errors.ts";
import { readMeta } from "../../formats/dicom.ts";
import { embeddedDocuments, readMsh } from "../../formats/hl7.ts";
import { ctStudy } from "../../test/fixtures/dicom.ts";
import { sampleMessage } from "../../test/fixtures/documents.ts";
import type { AdminClient } from "../admin-client.ts";
import type { Ready } from "./index.ts";
import type { Receivers } from "./receivers.ts";
import type { Story } from "./story.ts";
import { digestTable, type Pair } from "./table.ts";

type Stage = {
  readonly ready: Ready;
  readonly receivers: Receivers;
  readonly story: Story;
  readonly admins: Readonly<Record<string, AdminClient>>;
  readonly signal: AbortSignal;
};

type Counts = {
  readonly items: Record<string, number>;
  readonly deliveries: Record<string, number>;
  readonly records: Record<string, number>;
};

export type Played = { readonly lines: readonly string[]; readonly failures: readonly string[] };

/** Of two records: stored at A, registered, delivered at B. */
const expectedReceipts = 6;
const pollMs = 100;
const patienceMs = 90_000;

/** The whole story of the paper's Figure 1; resolves when nothing is under way any more, or says what is. */
export async function play(stage: Stage): Promise<Played> {
  const { ready, story, receivers, admins } = stage;
  const [a, b] = [ready["hospital-a"], ready["hospital-b"]];
  const pairs: Pair[] = [];

  const imaging = sampleMessage("mdm-t02-116");
  const laboratory = sampleMessage("oru-r01-113");
  const study = ctStudy();
  story.say("Hospital A: HIS A sends an imaging report, PACS A its CT study, HIS A a laboratory report");
  await sendMessage(stage, a.mllp, imaging);
  await sendStudy(
    stage,
    a.dicom,
    study.map(({ bytes }) => bytes),
  );
  story.say(`  1  source       PACS A → hospital-a: ${study.length} instances by C-STORE, each durable before Success`);
  await sendMessage(stage, a.mllp, laboratory);

  for (const message of [imaging, laboratory]) {
    for (const { bytes } of embeddedDocuments(message, readMsh(message)))
      pairs.push({ what: "document", sent: sha256(bytes), key: sha256(bytes) });
  }
  for (const { bytes, sopInstanceUid } of study)
    pairs.push({ what: sopInstanceUid, sent: dataSet(bytes), key: sopInstanceUid });

  await until(
    stage,
    "both records registered",
    async () => ((await counts(admins["hospital-a"])).records.registered ?? 0) >= 2,
  );
  story.say("\nHospital B: the patient is admitted; HIS B sends the ADT it sends anyway");
  await sendMessage(stage, b.admissions, sampleMessage("adt-a01"));
  await until(stage, "everything delivered and every queue empty", async () => {
    const [atA, atB] = await Promise.all([counts(admins["hospital-a"]), counts(admins["hospital-b"])]);
    const isDone = (atB.records.delivered ?? 0) >= 2 && queued(atA) + queued(atB) === 0;
    return isDone && story.receipts() >= expectedReceipts;
  }).catch((thrown: unknown) => story.say(String((thrown as Error).message)));

  const received = receivedAt(receivers);
  const compared = pairs.map((pair) => ({ ...pair, received: received.get(pair.key) }));
  const sites = await Promise.all(Object.values(admins).map(counts));
  const sum = (count: (each: Counts) => number) => sites.reduce((total, each) => total + count(each), 0);
  const clear = await total(admins, "false");
  const sealed = await total(admins, "true");
  const open = sum(queued);
  const held = sum(({ items, deliveries }) => (items.held ?? 0) + (items.waiting ?? 0) + (deliveries.parked ?? 0));
  const unequal = compared.filter((pair) => pair.received !== pair.sent);
  const failures = [
    ...unequal.map(({ what }) => `${what} did not arrive as it was sent`),
    ...(open > 0 ? [`${open} deliveries still queued`] : []),
    ...(held > 0 ? [`${held} held`] : []),
    ...(clear > 0 ? [`${clear} bytes in clear between sites`] : []),
    ...(story.receipts() >= expectedReceipts ? [] : [`only ${story.receipts()} receipts verified`]),
  ];
  return {
    lines: [
      ...digestTable(compared),
      `signatures verified ${story.signatures()} · receipts verified ${story.receipts()}`,
      `bytes between sites: sealed ${sealed}, in clear ${clear} · queued ${open} · held ${held}`,
    ],
    failures,
  };
}

const queued = ({ deliveries }: Counts): number =>
  (deliveries.queued ?? 0) + (deliveries.inflight ?? 0) + (deliveries.ambiguous ?? 0);

const counts = (admin: AdminClient | undefined): Promise<Counts> => {
  if (!admin) throw new Fault("UNEXPECTED", "a site of the demo is missing");
  return admin.get<Counts>("/counts");
};

async function total(admins: Readonly<Record<string, AdminClient>>, tls: string): Promise<number> {
  const each = await Promise.all(Object.values(admins).map((admin) => admin.metric("semrs_peer_bytes_total", { tls })));
  return each.reduce((sum, bytes) => sum + bytes, 0);
}

/** SHA-256 of what HIS B and PACS B hold: documents by digest, instances (their data sets) by SOP Instance UID. */
function receivedAt({ his, pacs }: Receivers): ReadonlyMap<string, string> {
  const of = (folder: string, extension: string) =>
    readdirSync(folder).filter((name) => !name.startsWith(".") && name.endsWith(extension));
  const documents = of(his.folder, ".cda").map((name) => sha256(readFileSync(join(his.folder, name))));
  const instances = of(pacs.folder, ".dcm").map((name): [string, string] => [
    name.slice(0, -4),
    dataSet(readFileSync(join(pacs.folder, name))),
  ]);
  return new Map([...documents.map((digest): [string, string] => [digest, digest]), ...instances]);
}

async function sendMessage({ story, signal }: Stage, address: string, message: Uint8Array): Promise<void> {
  const { host, port } = split(address);
  const { controlId, messageType } = readMsh(message);
  const item: Item = { controlId, size: message.length, body: () => one(message) };
  let outcome: Outcome | undefined;
  await mllpDestination.send(
    mllpDestination.options.parse({ host, port }),
    one(item),
    (_item, said) => (outcome = said),
    { log: () => undefined, signal },
  );
  if (outcome?.state !== "delivered")
    throw new Fault(
      "PEER_REFUSED",
      `${messageType} ${controlId} was not accepted: ${outcome?.state === "refused" ? outcome.reason : "no answer"}`,
    );
  story.say(`     ${messageType} ${controlId}: ${outcome.detail ?? "AA"}`);
}

async function sendStudy({ signal }: Stage, to: string, files: readonly Uint8Array[]): Promise<void> {
  const [calledAeTitle = "", address = ""] = to.split("@");
  const { host, port } = split(address);
  const options = dicomDestination.options.parse({ host, port, calledAeTitle, callingAeTitle: "PACS_A" });
  const items = (async function* (): AsyncGenerator<DicomItem> {
    for (const bytes of files) {
      const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readMeta(bytes);
      yield { controlId: sopInstanceUid, size: bytes.length, sopClassUid, transferSyntaxUid, body: () => one(bytes) };
    }
  })();
  const refused: string[] = [];
  const report = (_item: Item, outcome: Outcome) => {
    if (outcome.state !== "delivered") refused.push(outcome.reason);
  };
  await dicomDestination.send(options, items, report, { log: () => undefined, signal });
  if (refused.length > 0)
    throw new Fault("PEER_REFUSED", `${refused.length} instances were not accepted: ${refused[0]}`);
}

async function until({ signal }: Stage, what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await condition())) {
    if (signal.aborted || Date.now() > end) throw new Fault("UNEXPECTED", `waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

const split = (address: string): { host: string; port: number } => {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
};

const sha256 = (bytes: Uint8Array): string => hash("sha256", bytes);
/** File Meta Information is the sender's own (PS3.10 7.1); the data set is the image. */
const dataSet = (file: Uint8Array): string => sha256(file.subarray(readMeta(file).offset));

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

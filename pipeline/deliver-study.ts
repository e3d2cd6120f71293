/** Station `deliver`: the instances of an opened record to the PACS. */
import type { Item, Outcome } from "../connectors/connector.ts";
import { type DicomItem, dicomDestination, maxFullInARow } from "../connectors/dicom/scu.ts";
import { codeOf, consequenceOf, Fault } from "../errors.ts";
import { readHead, readMeta } from "../formats/dicom.ts";
import { type DicomIdentity, spliceIdentity } from "../formats/dicom-splice.ts";
import type { Delivery, StoredRecord } from "../store/store.ts";
import { recordPatient } from "./audited.ts";
import { clearHead, clearPieces } from "./clear.ts";
import { cancelledBefore, instanceTaken } from "./corrected.ts";
import { answerOf, partOf, receivedOf, ruleOf, settled } from "./deliver.ts";
import type { Sent } from "./delivery.ts";
import type { ReceivedFacts } from "./open.ts";
import { dicomIdentity } from "./patient.ts";
import { prove, type SentInstance, unprovenFault } from "./proof.ts";
import { peerOf } from "./pull.ts";
import { isSuperseded } from "./replacement.ts";
import { msSince, type Site } from "./site.ts";

/** The images, byte for byte unless this house's identity goes in; what the PACS has taken before a failure is not sent again. */
export async function deliverStudy(site: Site, delivery: Delivery): Promise<Sent> {
  const { store, config, log, now } = site;
  const received = receivedOf(site, delivery);
  const { record, facts } = received;
  const dicom = config.own.systems[delivery.destination]?.dicom;
  if (!dicom?.connect)
    throw new Fault("CONFIG_INVALID", `${delivery.destination} has no dicom.connect; add it or discard the delivery`);
  const started = performance.now();
  // A person asked for it again: what was taken before goes too.
  const isAgain = (delivery.payload as { again?: true } | null)?.again === true;
  const over = isAgain ? undefined : cancelledBefore(site, record, delivery);
  if (over) return { changes: [], event: "dropped", answer: over.reason, ended: { state: "discarded", ...over } };
  const wanted = facts.instances.filter(
    ({ n, sopInstanceUid }) => !isSuperseded(site, record.author, sopInstanceUid, partOf(record, n)),
  );
  const left = wanted.filter(
    ({ sopInstanceUid }) =>
      isAgain || !store.messages.hasTaken(delivery.destination, instanceTaken(record, sopInstanceUid)),
  );
  const rule = ruleOf(site, delivery);
  const identity = dicomIdentity(site, rule, record, delivery);
  const answers = new Map<string, number>();
  let bytes = 0;
  const send = async (some: Instances): Promise<void> => {
    await sendInstances(site, delivery.destination, instances(site, record, some, identity), (item, answer) => {
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
      bytes += item.size;
      return store.commit([
        store.messages.took(delivery.destination, instanceTaken(record, item.controlId), now().toISOString()),
      ]);
    });
  };
  await send(inTurn(left, delivery.attempts));
  const proof = dicom.proof === "response" ? "" : `, ${dicom.proof}`;
  if (proof !== "") {
    const all: SentInstance[] = [];
    for (const each of wanted) all.push(await sentOf(site, record, each));
    let unproven = await prove(site, delivery.destination, all);
    // What was sent just now may not be looked up yet: it is asked for again before it is sent again.
    if (unproven.size > 0 && left.length === 0) {
      await send(wanted.filter(({ sopInstanceUid }) => unproven.has(sopInstanceUid)));
      unproven = await prove(site, delivery.destination, all);
    }
    if (unproven.size > 0) throw unprovenFault(delivery.destination, unproven, all.length);
  }
  const fields = { channel: delivery.channel, message: record.id, peer: delivery.destination };
  const count = [...answers.values()].reduce((sum, each) => sum + each, 0);
  log("deliver.delivered", { ...fields, bytes, count, ms: msSince(started) });
  const answer = [...answers].map(([status, each]) => `${each} × ${status}`).join(", ");
  const audit = { patients: recordPatient(site, record), count: wanted.length };
  const changes = settled(site, received, delivery);
  return { changes, event: "delivered", answer: `${answer || "all taken before"}${proof}`, audit };
}

type Instances = ReceivedFacts["instances"];

/**
 * A PACS that is too full for the first ones, or ends the association at the very first, may take others: each attempt begins with
 * another, one further on each time round.
 */
function inTurn(left: Instances, attempts: number): Instances {
  const ahead = (attempts - 1) * (left.length > maxFullInARow ? maxFullInARow : 1);
  const from = (ahead + Math.floor(ahead / left.length)) % left.length || 0;
  return [...left.slice(from), ...left.slice(0, from)];
}

/** Sends; `took` is told of each instance that the PACS takes, with its answer. What is worth another attempt comes before what is not. */
async function sendInstances(
  site: Site,
  system: string,
  items: AsyncIterable<DicomItem>,
  took: (item: Item, answer: string) => Promise<void>,
): Promise<void> {
  const failures: Fault[] = [];
  const taken: Promise<void>[] = [];
  const report = (item: Item, outcome: Outcome): void => {
    try {
      const noted = took(item, answerOf(outcome));
      // Who waits for all of them at the end hears of it, and until then it must not end the house.
      noted.catch(() => undefined);
      taken.push(noted);
    } catch (thrown) {
      failures.push(thrown as Fault);
    }
  };
  try {
    await dicomDestination.send(peerOf(site, system), items, report, site);
  } catch (thrown) {
    // An instance that was sent and not answered is what a person would want to know.
    throw failures.find((fault) => codeOf(fault) === "PEER_AMBIGUOUS") ?? thrown;
  } finally {
    await Promise.all(taken);
  }
  // A delivery that is parked for what is refused for good would keep the others from the PACS.
  const first = failures.find((fault) => consequenceOf(codeOf(fault)).retry) ?? failures[0];
  if (first) throw first;
}

/** What the PACS is asked about an instance. */
async function sentOf(
  site: Site,
  record: StoredRecord,
  { n, sopInstanceUid }: Instances[number],
): Promise<SentInstance> {
  const { sopClassUid, studyInstanceUid } = readHead(await clearHead(site, partOf(record, n)));
  return { sopInstanceUid, sopClassUid, studyInstanceUid };
}

async function* instances(
  site: Site,
  record: StoredRecord,
  left: Instances,
  identity: DicomIdentity | null,
): AsyncGenerator<DicomItem> {
  for (const { n, sopInstanceUid } of left) {
    const blob = partOf(record, n);
    const { sopClassUid, transferSyntaxUid } = readMeta(await clearHead(site, blob));
    const whole = () => clearPieces(site, blob);
    const body = identity ? () => spliceIdentity(whole(), identity) : whole;
    yield { controlId: sopInstanceUid, size: site.store.blobs.facts(blob).size, sopClassUid, transferSyntaxUid, body };
  }
}

/** What a message means to this site: documents that leave (outbound), an admission that fetches (inbound), or nothing. */
import { createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import {
  documentEvent,
  type EmbeddedDocument,
  embeddedDocuments,
  mdmEvent,
  patientIdentifiers,
  payloadlessFrame,
} from "../formats/hl7.ts";
import { isUnlink } from "../formats/hl7-merge.ts";
import { admittedPatient } from "../formats/hl7-patient.ts";
import { type DocumentName, documentNames } from "../formats/hl7-txa.ts";
import type { Change, Item } from "../store/store.ts";
import { isCancelled, meeting } from "./cancellations.ts";
import type { OutboundChannel } from "./config.ts";
import { cancel, cancelled, cancelledAhead, documentsNamed, nameJoin } from "./correction.ts";
import { admit, cancelAdmission } from "./fetch.ts";
import { admissionChannel, cancelledAdmission, candidates, channelOf, takesMerges } from "./filter.ts";
import { patientIdsOf } from "./identifiers.ts";
import { merge } from "./merge.ts";
import type { ReceivedFacts } from "./open.ts";
import { namedOne } from "./original.ts";
import { followed } from "./reference.ts";
import { displaced } from "./replacement.ts";
import { pass, type Site, step } from "./site.ts";
import { type Stage, stagedBy } from "./staging.ts";
import { patientSeen } from "./transform.ts";
import { unmerge } from "./unmerge.ts";
import { firstExamined, rulesOf, type Validated, validateDocument } from "./validate.ts";
import type { Settled, SpooledMessage, TakeMessage } from "./verdicts.ts";

/** Binds the corridors' first halves; `kept` is told of every document that waits to be assembled. */
export const openMessages =
  (site: Site, kept: (item: Item) => void): TakeMessage =>
  async (message) => {
    const admission = admissionChannel(site.config, message.system, message.facts);
    if (admission) {
      site.stopped.admit("channel", admission.channel.name);
      const changes = admit(site, admission.channel, admission, message);
      if (!changes) return { ...filtered("PATIENT_NOT_COMPARABLE"), channel: admission.channel.name };
      return { channel: admission.channel.name, state: "done", changes, begin: () => site.wake() };
    }
    const takenBack = cancelledAdmission(site.config, message.system, message.facts);
    if (takenBack) {
      const changes = cancelAdmission(site, message);
      return { channel: takenBack.name, state: "done", changes, begin: () => undefined };
    }
    if (takesMerges(site.config, message.system, message.facts)) {
      const { code, changes, looked } = (isUnlink(message.facts) ? unmerge : merge)(site, message);
      const begin = (): void => {
        for (const item of looked) kept(item);
        site.wake();
      };
      return { channel: null, state: code === "MERGE_NOT_COMPARABLE" ? "filtered" : "done", code, changes, begin };
    }
    const channels = await pass(site, "filter", message.system, async () =>
      candidates(site.config, message.system, message.facts, message.bytes),
    );
    if (channels.length === 0) return filtered("NO_CHANNEL");
    const { made, bodies } = await stagedBy((stage) => leave(site, channels, message, kept, stage));
    return { ...made, bodies };
  };

const filtered = (code: string): Settled => ({
  channel: null,
  state: "filtered",
  code,
  changes: [],
  begin: () => undefined,
});

/** Documents of one message: all are kept, or the message is refused. */
async function leave(
  site: Site,
  channels: readonly OutboundChannel[],
  message: SpooledMessage,
  kept: (item: Item) => void,
  stage: Stage,
): Promise<Settled> {
  const { bytes, facts, id } = message;
  const txa = documentNames(bytes, facts);
  const { own, parent } = txa;
  if (mdmEvent(facts) === "cancel")
    return cancelling(site, message, own ? [own] : await namesOf(embeddedDocuments(bytes, facts)));
  const inMessage = embeddedDocuments(bytes, facts);
  // Of what is withdrawn nothing but its name is asked: it may be gone from where it was, or not be readable.
  const said = inMessage.filter(({ kind }) => kind !== "pdf" && kind !== "other");
  if (own && said.length > 0 && said.every(({ event }) => event === "cancel")) return cancelling(site, message, [own]);
  const unread = inMessage.find(({ fault }) => fault)?.fault;
  if (unread) throw unread;
  const embedded = await followed(site, message, inMessage);
  const documents = embedded.filter(({ kind }) => kind === "cda");
  if (documents.length === 0) {
    // Who deletes seldom sends what is deleted: OBX-5 is empty or `""`, and TXA-12 says which.
    if (own && documentEvent(facts, bytes) === "cancel") return cancelling(site, message, [own]);
    const reference = embedded.find(({ kind }) => kind === "reference");
    if (reference)
      throw new Fault(
        "DOCUMENT_MALFORMED",
        `OBX ${reference.obx || "?"}: a document by reference is fetched only from where references allows; send the document itself`,
      );
    return filtered("NO_DOCUMENT");
  }

  const withdrawn = documents.filter(({ event }) => event === "cancel");
  const final = documents.filter(({ event }) => event !== "cancel" && event !== "preliminary");
  // TXA-12 names the one document of its message, as in T11.
  const gone =
    withdrawn.length > 0
      ? cancelling(site, message, own && final.length === 0 ? [own] : await namesOf(withdrawn))
      : undefined;
  if (final.length === 0) return gone ?? filtered("PRELIMINARY");

  const beside = embedded.filter(({ kind, event }) => kind === "pdf" && event !== "cancel");
  const attachments = beside
    .filter(({ event }) => event !== "preliminary")
    .map((each) => ({ bytes: each.bytes, type: "application/pdf" }));
  const carried = documents.length + beside.length;
  const patient = patientIdsOf(site.config, patientIdentifiers(bytes, facts)).ids;
  const person = admittedPatient(bytes, facts).written;
  const taken: Validated[] = [];
  const met: Change[] = [];
  let channelName: string | null = null;
  const isLeft = final.length + attachments.length < carried;
  let code = gone?.code ?? (isLeft ? "PRELIMINARY" : undefined);
  for (const document of final) {
    const { cda, findings } = await pass(site, "validate", channels[0]?.name ?? "", () =>
      firstExamined(site, channels, document.bytes),
    );
    const channel = channelOf(channels, cda, document.bytes);
    channelName ??= channel?.name ?? null;
    if (channel) site.stopped.admit("channel", channel.name);
    const known = channel ? acquainted(site, cda.uniqueId, document.bytes, taken) : "NO_CHANNEL";
    const key = site.store.tokens.of("document", "", cda.uniqueId);
    const named = own ? [nameJoin(site, message.system, own)] : [];
    if (channel && isCancelled(site, [key, ...named])) {
      code = cancelled;
      met.push(...meeting(site, key, named));
      continue;
    }
    if (!channel || known === "REPEATED" || known === "ECHO" || known === "NO_CHANNEL") {
      code = known ?? "NO_CHANNEL";
      continue;
    }
    const validated = await validateDocument(
      site,
      channel,
      {
        arrival: id,
        bytes: document.bytes,
        cda,
        findings,
        event: document.event,
        txa,
        person,
        patient: (await patientSeen(site, channel, message, document.bytes)) ?? patient,
        names: named,
        parent: parent ? parentOf(site, message.system, parent) : null,
        // What comes beside several documents goes with the first of them.
        beside: taken.length === 0 ? attachments : [],
      },
      stage,
    );
    taken.push(known ? conflicting(validated, conflicts[known]) : validated);
  }
  if (carried < embedded.length) {
    code = "ATTACHMENT_NOT_CARRIED";
    site.log(
      "validate.warned",
      { message: id, code, reason: "only CDA documents and PDF beside them travel, unless withdrawn" },
      "warn",
    );
  }
  const items = taken.map(({ item }) => item);
  return {
    channel: channelName,
    state: taken.length > 0 || gone ? "done" : "filtered",
    ...(code ? { code } : {}),
    changes: [...(gone?.changes ?? []), ...met, ...taken.flatMap((validated) => keeping(site, validated))],
    ...(taken.length > 0 && carried === embedded.length ? { frame: payloadlessFrame(bytes, facts) } : {}),
    begin: () => {
      gone?.begin();
      for (const item of items) {
        site.log("validate.validated", {
          channel: item.channel,
          message: item.id,
          ...(item.code ? { code: item.code } : {}),
        });
        kept(item);
      }
    },
  };
}

/** The report is not sealed, or withdrawn, or not sealed when it comes; each of them is an answer of AA. */
function cancelling(site: Site, message: SpooledMessage, names: readonly DocumentName[]): Settled {
  if (names.length === 0)
    throw new Fault("HL7_MALFORMED", "the cancellation names no document: TXA-12 is empty; send the id of the report");
  const all = names.map((name) => cancel(site, message.system, name));
  return {
    channel: null,
    state: "done",
    code: all.some(({ code }) => code === cancelled) ? cancelled : cancelledAhead,
    changes: all.flatMap(({ changes }) => changes),
    begin: () => site.wake(),
  };
}

/** What cancels a document that it holds names it so. */
const namesOf = (embedded: readonly EmbeddedDocument[]): Promise<readonly DocumentName[]> =>
  Promise.all(
    embedded
      .filter(({ kind }) => kind === "cda")
      .map(async ({ bytes }) => {
        const { uniqueId } = await rulesOf(bytes);
        return { written: uniqueId, uniqueIds: [uniqueId] };
      }),
  );

/** The document of ours that TXA-13 means. */
const parentOf = (site: Site, system: string, name: DocumentName): string | null =>
  namedOne(site.store, documentsNamed(site, system, name));

const keeping = (site: Site, { item, blob, attached, findings }: Validated): readonly Change[] => [
  blob.change,
  ...attached.map((each) => each.change),
  ...displaced(site, item),
  ...site.store.items.add(item),
  step(site, item.id, "validate", item.state === "held" ? "held" : "validated", {
    code: item.code,
    detail: findings.length > 0 ? findings.join("; ") : null,
  }),
];

/**
 * Same id and same bytes: dropped, whether they were ours or came from another house. Same id, other bytes: a person
 * decides; of another house's too, which may have used an id of ours (decision 36). What a person discarded, and nothing else of its id
 * is here, is new when it is sent again.
 */
function acquainted(
  site: Site,
  uniqueId: string,
  bytes: Uint8Array,
  taken: readonly Validated[],
): "REPEATED" | "ECHO" | keyof typeof conflicts | undefined {
  const { store } = site;
  const key = store.tokens.of("document", "", uniqueId);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const foreign = store.records.byKey(key).filter(({ origin }) => origin === "received");
  if (foreign.some(({ entry }) => (entry as ReceivedFacts).entry.hash === sha256)) return "ECHO";
  const beside = taken.flatMap(({ item }) => (item.key === key ? [item] : []));
  const same = [...store.items.byKey("document", key), ...beside];
  const digest = store.tokens.of("digest", "", sha256);
  const isOurs = same.some((item) => item.state !== "discarded");
  if (isOurs) return same.some((item) => item.digest === digest) ? "REPEATED" : "OURS";
  return foreign.length > 0 ? "FOREIGN" : undefined;
}

/** Whose the document is that was here before. */
const conflicts = {
  OURS: "a document with this id and other bytes was accepted before",
  FOREIGN: "a document with this id and other bytes came from another house",
};

const conflicting = (validated: Validated, reason: string): Validated =>
  ({ ...validated, item: { ...validated.item, state: "held", code: "DOCUMENT_CONFLICT", reason } }) as Validated;

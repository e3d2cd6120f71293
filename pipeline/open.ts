/**
 * Station `open`: a record from another house is verified while its ciphertext is kept as it came (paper step 7).
 * What was not verified to the last octet leaves nothing behind.
 */
import { hash } from "node:crypto";
import { type AnyOpened, contentOf, openCipher } from "../envelope/index.ts";
import { packSigned } from "../envelope/signed-manifest.ts";
import { codeOf, Fault } from "../errors.ts";
import type { CdaFacts } from "../formats/cda.ts";
import { examineDocument } from "../formats/cda-pool.ts";
import { commandMediaType, readCommand, writeCommand } from "../formats/command.ts";
import { type DocumentEntry, documentEntry } from "../formats/document-entry.ts";
import { belowReserve } from "../store/reserve.ts";
import type { BlobFacts, BlobName, Change, Delivery, Id, StagedBlob, StoredRecord, Token } from "../store/store.ts";
import { identifiedPatient, recordPatient } from "./audited.ts";
import { inboundChannels } from "./channels.ts";
import type { InboundChannel } from "./config.ts";
import { isNotWithdrawn, isWithdrawn } from "./corrected.ts";
import { cancelled } from "./correction.ts";
import type { Sent } from "./delivery.ts";
import { inboundChannel, isHere, type RetrievePayload } from "./fetch.ts";
import { begin, identifyHeld } from "./identify.ts";
import { ask } from "./partner.ts";
import type { Admission } from "./patient.ts";
import { relationOf, used } from "./relation.ts";
import { type Superseded, supersede } from "./replacement.ts";
import { receivedInstances } from "./returned.ts";
import { msSince, pass, type Site, step } from "./site.ts";
import { type Stage, stagedBy, staging } from "./staging.ts";
import type { At } from "./validate.ts";

/** What delivery needs to know of a received record, sealed beside it. */
export type Header = Pick<CdaFacts, "code" | "effectiveTime" | "patientIds" | "patientName" | "birthTime" | "gender">;
export type ReceivedFacts = {
  readonly entry: DocumentEntry;
  /** Null for a document of its own; else the uniqueId of the document these images belong to. */
  readonly appends: string | null;
  readonly instances: readonly { readonly n: number; readonly sopInstanceUid: string }[];
  /** Its author's id of it, where it is kept under another one. */
  readonly message?: Id;
  /** Its document alone is signed: `integrity: none` for every instance, and nobody to send a proof of delivery to. */
  readonly profile?: "semrs-2017";
  /** Instances of earlier records that are not to be delivered any more. */
  readonly replaces?: readonly Superseded[];
  /** What a message to the HIS says of the document; absent where a record was kept without it. */
  readonly header?: Header;
  /** What travels beside the document, for the HIS. */
  readonly attachments?: readonly { readonly n: number; readonly type: string }[];
};

/** A record that is verified and durable: only `keep` makes one, and only one of these is delivered. */
export type Received = At<"opened", { readonly record: StoredRecord; readonly facts: ReceivedFacts }>;

/** Steps 6 and 7: one record asked of its repository, and kept. */
export async function retrieve(site: Site, delivery: Delivery): Promise<Sent> {
  const payload = (delivery.payload ?? {}) as Partial<RetrievePayload>;
  // One that has brought its record keeps nothing of what it asked for.
  if (!payload.registered) return { changes: [], event: "dropped", answer: "here already" };
  const { registered, admission = null } = payload;
  const { uniqueId } = registered.entry;
  const channel = inboundChannel(site, delivery.channel);
  if (!site.store.reserve.hasSpace()) throw belowReserve();
  if (isWithdrawn(site, registered.org, site.store.tokens.of("document", "", uniqueId)))
    return { changes: [], event: "dropped", answer: overtaken };
  // Two questions at once may both have been answered with it.
  if (isHere(site, registered)) return { changes: [], event: "dropped", answer: "here already" };
  const started = performance.now();
  site.log("fetch.requested", { channel: channel.name, message: delivery.id, peer: delivery.destination });
  const command = writeCommand<"retrieve">({
    command: "retrieve",
    uniqueId,
    manifestSha256: registered.manifestSha256,
  });
  const { answer, request, kept } = await ask(site, delivery.destination, {
    path: "/repository/retrievals",
    purpose: "retrieve",
    message: site.store.newId(),
    messageType: "retrieve",
    content: [await contentOf(command, "command", commandMediaType)],
    answers: ["response"],
    isLarge: true,
  });
  const origin = answer?.origin;
  // The registry's entry names the author's manifest: the answer must be that record, signed by who registered it.
  if (!answer || origin?.manifestSha256 !== registered.manifestSha256 || origin.org !== registered.org) {
    throw new Fault("PEER_REFUSED", `${delivery.destination} answered with another record than was asked for`);
  }
  const first = origin.manifest.parts.find(({ n }) => n === 1);
  if (first && "sha256" in first && first.sha256 !== registered.entry.hash) {
    throw new Fault("PEER_REFUSED", `the document ${delivery.destination} sent is not the one that was registered`);
  }
  const { attach } = site.store.records;
  const response = packSigned({ manifest: answer.manifestBytes, signature: answer.signature });
  const { made, bodies } = await stagedBy((stage) => keep(site, channel, answer, registered.entry, admission, stage));
  const { id, changes: opened } = made;
  const changes = [
    ...opened,
    site.store.deliveries.mark(delivery.id, { payload: null }),
    ...attach(id, { kind: "request", from: site.config.site, receipt: packSigned(request) }),
    ...attach(id, { kind: "response", from: answer.org, receipt: response }),
  ];
  const fields = { channel: channel.name, message: id, peer: delivery.destination };
  site.log("open.opened", {
    ...fields,
    count: answer.manifest.parts.length,
    bytes: bytesOf(answer),
    ms: msSince(started),
  });
  const verified = `${answer.manifest.parts.length} parts, signatures verified`;
  const audit = { patients: identifiedPatient(site, registered.entry.patientIds), manifest: answer.manifestSha256 };
  return { changes: [...kept, ...changes], bodies, event: "opened", subject: id, answer: verified, audit };
}

/** The channel that takes what this partner pushes; NOT_PERMITTED where there is none. */
export function pushChannel(site: Site, org: string): InboundChannel {
  const channel = inboundChannels(site.config).find(({ fetch }) =>
    fetch.when.some((when) => "push" in when && when.push.includes(org)),
  );
  if (!channel) throw new Fault("NOT_PERMITTED", `no channel here takes what ${org} pushes`);
  site.stopped.admit("channel", channel.name);
  return channel;
}

/** Keeps a pushed record: in one commit with the receipt that says so. */
export async function receivePush(site: Site, opened: AnyOpened, changes: readonly Change[]): Promise<void> {
  // A relay stands for the author: it is the author whom the channel trusts.
  const channel = pushChannel(site, (opened.origin ?? opened).org);
  const detail = `${opened.manifest.parts.length} parts, signatures verified`;
  const { id } = await staging(async (stage) => {
    const kept = await keep(site, channel, opened, undefined, null, stage);
    const told = step(site, kept.id, "open", "opened", { peer: opened.org, detail });
    await site.store.commit([...changes, ...kept.changes, told]).catch((thrown: unknown) => {
      if (codeOf(thrown) !== "STORE_CONFLICT" || site.store.messages.find(opened.org, opened.manifest.message))
        throw thrown;
      throw new Fault("PEER_BUSY", "its author has corrected it while it was kept; send it again");
    });
    return kept;
  });
  site.log("open.opened", {
    channel: channel.name,
    message: id,
    peer: opened.org,
    bytes: bytesOf(opened),
  });
  site.wake();
}

const overtaken = "cancelled or replaced by its author";

/** The id of a record, and what keeps it: nothing where it is here already. */
type Kept = { readonly id: Id; readonly changes: readonly Change[] };

/** Every part to a blob while it is verified; then the record and its deliveries, as one set of changes. */
const keep = (
  site: Site,
  channel: InboundChannel,
  opened: AnyOpened,
  entry: DocumentEntry | undefined,
  admission: Admission | null,
  stage: Stage,
): Promise<Kept> =>
  pass(site, "open", channel.name, async () => {
    const { store, now } = site;
    const author = opened.origin ?? opened;
    const parts: { n: number; blob: BlobName }[] = [];
    const instances: { n: number; sopInstanceUid: string }[] = [];
    const attachments: { n: number; type: string }[] = [];
    const blobs: StagedBlob[] = [];
    let first: First | undefined;
    for await (const part of opened.parts()) {
      const { n } = part.entry;
      const copy: Uint8Array[] = [];
      const blob = stage(await store.blobs.put(n === 1 ? copied(part.cipher, copy) : part.cipher, part.facts));
      parts.push({ n, blob: blob.name });
      blobs.push(blob);
      if (part.entry.role === "dicom" && part.entry.sop) instances.push({ n, sopInstanceUid: part.entry.sop });
      if (part.entry.role === "attachment") attachments.push({ n, type: part.entry.type });
      if (n === 1)
        first = await entryOf(part.entry.role, await heldClear(copy, part.facts()), part.entry, author.org, entry);
    }
    if (!first) throw new Fault("ENVELOPE_MALFORMED", "the record has no part 1");
    const key = store.tokens.of("document", "", first.entry.uniqueId);
    // The entry that was asked for says it.
    const relation = entry ? undefined : relationOf(site, author.org, key);
    const relatedDocuments = [...first.entry.relatedDocuments, ...(relation ? [relation] : [])];
    const beside = { instances, ...(attachments.length > 0 ? { attachments } : {}) };
    const facts: ReceivedFacts = { ...first, entry: { ...first.entry, relatedDocuments }, ...beside };
    const { id, isKept } = placeOf(site, author, key);
    // Here already, pushed: whoever asks for it says whose it is.
    if (isKept) {
      for (const blob of blobs) await blob.drop();
      return { id, changes: admission ? identifyHeld(site, admission, "unasked") : [] };
    }
    // Its author has said so while it came: it is kept, which its receipt tells, and goes no further.
    const isOver = isWithdrawn(site, author.org, key);
    const record: StoredRecord = {
      id,
      channel: channel.name,
      origin: "received",
      author: author.org,
      manifest: author.manifestBytes,
      signature: author.signature,
      manifestSha256: author.manifestSha256,
      key,
      parts,
      patients: facts.entry.patientIds.map(({ root, extension }) => store.tokens.of("patient", "", extension || root)),
      state: "opened",
      code: isOver ? cancelled : null,
      reason: isOver ? overtaken : null,
      entry: id === author.manifest.message ? facts : { ...facts, message: author.manifest.message },
      createdAt: now().toISOString(),
    };
    const changes = [
      ...blobs.map(({ change }) => change),
      ...store.records.add(record),
      ...receivedInstances(site, id, instances),
      ...(facts.replaces ?? []).map((each) => supersede(site, author.org, each)),
      ...(relation ? used(site, record, relation) : []),
      ...(isOver
        ? []
        : [isNotWithdrawn(site, author.org, key), ...begin(site, channel, { record, facts } as Received, admission)]),
      ...store.audit.add({
        event: "open",
        subject: id,
        peer: author.org,
        manifest: author.manifestSha256,
        count: parts.length,
        patients: recordPatient(site, record),
      }),
    ];
    return { id, changes };
  });

async function* copied(cipher: AsyncIterable<Uint8Array>, copy: Uint8Array[]): AsyncGenerator<Uint8Array> {
  for await (const piece of cipher) {
    // The memory of a piece is used again once the next is asked for.
    copy.push(Uint8Array.from(piece));
    yield piece;
  }
}

/** The document, small enough to be held, which nobody has committed yet. */
async function heldClear(cipher: readonly Uint8Array[], facts: BlobFacts): Promise<Uint8Array> {
  const pieces = (async function* () {
    yield* cipher;
  })();
  return Buffer.concat(await Array.fromAsync(openCipher(pieces, facts)));
}

/** Where a record is kept: under the message id of its author's manifest, or under one of its own where that is another record's already. */
function placeOf(
  { store: { records } }: Site,
  { org, manifest: { message } }: Pick<AnyOpened, "org" | "manifest">,
  key: Token,
): { readonly id: Id; readonly isKept: boolean } {
  const held = records.find(message);
  if (!held || (held.author === org && held.key === key)) return { id: message, isKept: held !== undefined };
  const id = hash("sha256", `${org}\0${key}\0${message}`).slice(0, message.length);
  return { id, isKept: records.find(id) !== undefined };
}

type First = Omit<ReceivedFacts, "instances">;

async function entryOf(
  role: string,
  bytes: Uint8Array,
  { size, sha256 }: { size: number; sha256?: string },
  repositoryUniqueId: string,
  registered: DocumentEntry | undefined,
): Promise<First> {
  const extra = { hash: sha256 ?? "", size };
  if (role === "command") {
    const { entry, appends, replaces } = readCommand("addendum", bytes);
    return { entry: { ...entry, ...extra }, appends, ...(replaces ? { replaces } : {}) };
  }
  const { facts } = await examineDocument(bytes);
  const entry = registered ?? documentEntry(facts, { sha256: sha256 ?? "", size, repositoryUniqueId, images: null });
  return { entry, appends: null, header: headerOf(facts) };
}

/** Read once, when the document is opened: a HIS that was away is then sent its queue without reading each again. */
export const headerOf = ({ code, effectiveTime, patientIds, patientName, birthTime, gender }: CdaFacts): Header => ({
  code,
  effectiveTime,
  patientIds,
  patientName,
  birthTime,
  gender,
});

const bytesOf = (opened: AnyOpened): number =>
  (opened.origin ?? opened).manifest.parts.reduce((sum, part) => sum + ("size" in part ? part.size : 0), 0);

/** Station `seal`: an assembled record becomes a signed manifest over parts that are already ciphertext (paper step 2). */

import { hash } from "node:crypto";
import { receiverOf } from "../envelope/identity.ts";
import { type Content, type Draft, sealWhole, sign } from "../envelope/index.ts";
import { commandMediaType, writeCommand } from "../formats/command.ts";
import type { DicomFacts } from "../formats/dicom.ts";
import { type DocumentEntry, entryUuidOf } from "../formats/document-entry.ts";
import type { BlobFacts, BlobName, Change, Id, Item, StagedBlob, Token } from "../store/store.ts";
import { identifiedPatient } from "./audited.ts";
import { isStanding } from "./cancellations.ts";
import type { Relation } from "./relation.ts";
import { type Superseded, supersededBy } from "./replacement.ts";
import { type Site, step } from "./site.ts";
import type { At, DocumentFacts } from "./validate.ts";
import type { Assembled } from "./waiting-room.ts";

/** A record that may leave: signed manifest, blobs that hold its parts, and the entry that names it. */
export type Sealed = At<
  "sealed",
  {
    readonly id: Id;
    readonly channel: Assembled["channel"];
    readonly manifest: Uint8Array;
    readonly signature: Uint8Array;
    readonly parts: readonly ProvidedPart[];
    readonly entry: DocumentEntry;
    /** What partners that it is pushed to are told besides. */
    readonly relation: Relation | undefined;
    readonly key: Token;
    readonly patients: readonly Token[];
    /** Octets of its parts. */
    readonly bytes: number;
    /** Items that travel in it. */
    readonly items: readonly Id[];
    /** What assemble and seal did, to be committed with the record, as is what they made. */
    readonly steps: readonly Change[];
    /** It was not committed: what was made for it goes. */
    readonly drop: () => Promise<void>;
  }
>;

/** `facts` of what is committed with the record, and is in no index yet. */
export type ProvidedPart = { readonly n: number; readonly blob: BlobName; readonly facts?: BlobFacts };

/** Media type of a DICOM Part 10 file (PS3.18 8.7.3). */
const dicomMediaType = "application/dicom";
const cdaMediaType = "text/xml";

/** Signs a record for the own repository. The bulk is not read: digests were taken when the bytes came in. */
export async function sealRecord(site: Site, assembled: Assembled): Promise<Sealed> {
  const { store, identity, now } = site;
  const { channel, document, instances, appends } = assembled;
  const started = performance.now();
  const superseded = supersededBy(site, instances);
  const waited = now().getTime() - Date.parse(document.since);
  const attachments = appends ? [] : ((document.facts as DocumentFacts).attachments ?? []);
  const first = appends ? await addendum(site, assembled, superseded.names) : whole(site, assembled);
  const draft: Draft = {
    log: store.audit.head(),
    purpose: "provide",
    message: first.id,
    sender: identity.org,
    messageType: first.messageType,
    to: [receiverOf(identity.self)],
    content: [
      first.content,
      ...instances.map(({ blob, key }) => contentOfBlob(site, blob, { role: "dicom", type: dicomMediaType, sop: key })),
      ...attachments.map(({ blob, type }) => contentOfBlob(site, blob, { role: "attachment", type })),
    ],
  };
  const { manifest, signature } = await sign(draft, identity.signer, now());
  site.log("seal.sealed", { channel: channel.name, message: first.id, count: draft.content.length });
  return {
    id: first.id,
    channel,
    manifest,
    signature,
    parts: [
      { n: 1, blob: first.blob, ...(first.made ? { facts: first.content.facts } : {}) },
      ...[...instances, ...attachments].map(({ blob }, index) => ({ n: index + 5, blob })),
    ],
    entry: first.entry,
    relation: appends ? undefined : (document.facts as DocumentFacts).relation,
    bytes: draft.content.reduce((sum, { facts }) => sum + facts.size, 0),
    key: store.tokens.of("document", "", first.entry.uniqueId),
    patients: document.patients,
    items: [
      ...(appends ? [] : [document.id]),
      ...instances.filter(({ state }) => state === "waiting").map(({ id }) => id),
    ],
    drop: first.made?.drop ?? (async () => undefined),
    steps: [
      isStanding(site, document),
      ...(first.made ? [first.made.change] : []),
      ...superseded.changes,
      step(site, first.id, "assemble", "assembled", {
        ms: waited,
        detail: assembledDetail(assembled, superseded.names.length),
      }),
      step(site, first.id, "seal", "sealed", {
        ms: performance.now() - started,
        detail: `${draft.content.length} parts`,
      }),
      ...store.audit.add({
        event: "seal",
        subject: first.id,
        manifest: hash("sha256", manifest),
        count: draft.content.length,
        patients: identifiedPatient(site, first.entry.patientIds),
      }),
    ],
  } as Partial<Sealed> as Sealed;
}

/** How many travel, and what said that they are all. */
function assembledDetail({ instances, closing }: Assembled, replaced: number): string {
  const because = { quiet: "", count: ", all that the PACS counts", commitment: ", all that its sender listed" }[
    closing
  ];
  return `${instances.length} instances${because}${replaced > 0 ? `, ${replaced} replace what went before` : ""}`;
}

type First = {
  readonly id: Id;
  readonly content: Content;
  readonly blob: BlobName;
  /** The blob, where it is not committed yet. */
  readonly made?: StagedBlob;
  readonly messageType: string;
  readonly entry: DocumentEntry;
};

/** Part 1 is the document as it arrived. */
function whole(site: Site, { document, instances }: Assembled): First {
  const { entry, messageType } = document.facts as DocumentFacts;
  return {
    id: document.id,
    blob: document.blob,
    content: contentOfBlob(site, document.blob, { role: "cda", type: cdaMediaType }),
    messageType,
    entry: { ...entry, images: summary(instances) },
  };
}

/** Part 1 is a command: these images belong to a document that has gone (association APND). */
async function addendum(
  site: Site,
  { document, instances }: Assembled,
  replaces: readonly Superseded[],
): Promise<First> {
  const { store } = site;
  const id = store.newId();
  const uniqueId = `2.25.${BigInt(`0x${id}`)}`;
  const { entry: before } = document.facts as DocumentFacts;
  const {
    hash: _hash,
    size: _size,
    ...entry
  } = {
    ...before,
    uniqueId,
    entryUuid: entryUuidOf(site.config.site, uniqueId),
    images: summary(instances),
    relatedDocuments: [{ type: "APND" as const, uniqueId: before.uniqueId }],
  };
  const bytes = writeCommand<"addendum">({
    command: "addendum",
    entry,
    appends: before.uniqueId,
    ...(replaces.length > 0 ? { replaces: [...replaces] } : {}),
  });
  const part = sealWhole(bytes);
  const made = await store.blobs.put(part.cipher, part.facts);
  const facts = part.facts();
  return {
    id,
    blob: made.name,
    made,
    content: { role: "command", type: commandMediaType, facts, cipher: () => store.blobs.read(made.name) },
    messageType: "addendum",
    entry: { ...entry, hash: facts.sha256 ?? "", size: bytes.length },
  };
}

/** A part of an envelope that is a blob of ours. */
export function contentOfBlob(site: Site, blob: BlobName, part: Pick<Content, "role" | "type" | "sop">): Content {
  return { ...part, facts: site.store.blobs.facts(blob), cipher: () => site.store.blobs.read(blob) };
}

/** What the index says of the images, without naming one. */
function summary(items: readonly Item[]): DocumentEntry["images"] {
  if (items.length === 0) return null;
  const instances = items.map(({ facts }) => facts as DicomFacts);
  const distinct = (values: readonly (string | null)[]) => [...new Set(values.filter((value) => value !== null))];
  return {
    studies: distinct(instances.map(({ studyInstanceUid }) => studyInstanceUid)),
    modalities: distinct(instances.map(({ modality }) => modality)),
    series: distinct(instances.map(({ seriesInstanceUid }) => seriesInstanceUid)).length,
    instances: instances.length,
  };
}

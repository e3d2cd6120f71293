/**
 * A house's repository: keeps sealed records, tells the registry of them (paper step 3), and answers retrievals by
 * re-addressing (step 7): the bulk ciphertext is copied unread, only the keys are wrapped anew.
 */
import { hash } from "node:crypto";
import { readCertificate } from "../envelope/certificate.ts";
import { ownerOf } from "../envelope/identity.ts";
import {
  type AnyOpened,
  type Content,
  contentDigest,
  type Manifest,
  manifestContentType,
  readManifest,
  validatePath,
  verifySignedData,
} from "../envelope/index.ts";
import { packSigned } from "../envelope/signed-manifest.ts";
import { Fault } from "../errors.ts";
import { type Command, readCommand } from "../formats/command.ts";
import type { BlobFacts, BlobName, Change, StoredRecord, Token } from "../store/store.ts";
import type { Answer } from "./answers.ts";
import { cancelled } from "./later.ts";
import { type OnLegacy, openLegacy } from "./legacy.ts";
import { answerOnce, part1, seen, storedReceipt } from "./once.ts";
import { takeProof } from "./proof.ts";
import type { Exchange, Resource } from "./server.ts";
import { keyOf } from "./submission.ts";

/** A record sealed by this site's own pipeline, handed over by reference: the parts are already in the shared blob store. */
export type Provided = Omit<
  StoredRecord,
  "origin" | "author" | "manifestSha256" | "state" | "code" | "reason" | "parts"
> & {
  /** `facts` of a blob that is among `also`, and in no index yet. */
  readonly parts: readonly (StoredRecord["parts"][number] & { readonly facts?: BlobFacts })[];
  /** What else belongs in the same commit: the items it took, the outbox, pushes. */
  readonly also: readonly Change[];
};

export type Repository = {
  readonly resources: readonly Resource[];
  /** Step 2 within one process: verified as a stranger's would be, receipted, kept in one commit. */
  provide(record: Provided): Promise<void>;
};

/** What the pipeline does with what comes in; each commits the changes it is given, with its own, or throws. */
export type Pipeline = {
  /** A record that a partner pushed: its parts are kept, and its deliveries planned. */
  pushed(opened: AnyOpened, changes: readonly Change[]): Promise<void>;
  /** An author cancels or replaces a record that is here. */
  corrected(org: string, correction: Command<"correction">, changes: readonly Change[]): Promise<void>;
  /** What an author says of a document that it is about to push. */
  related(org: string, relation: Command<"relation">, changes: readonly Change[]): Promise<void>;
  readonly legacy: OnLegacy;
  /** A house is about to be handed a document of ours, and that is kept. */
  handed?(key: Token): Promise<void>;
};

/** The resources of a repository. */
export function openRepository(exchange: Exchange, pipeline: Pipeline): Repository {
  return {
    provide: (record) => provide(exchange, record),
    resources: [
      {
        station: "repository",
        path: "/repository/documents",
        purposes: ["push", "notify"],
        event: "submission",
        isReceipted: true,
        takesIn: true,
        legacy: openLegacy(exchange, pipeline.legacy),
        answer: (opened) =>
          opened.manifest.purpose === "notify"
            ? notified(exchange, pipeline, opened)
            : pushed(exchange, pipeline, opened),
      },
      {
        station: "repository",
        path: "/repository/relations",
        purposes: ["notify"],
        event: "submission",
        takesIn: true,
        answer: async (opened) => {
          const relation = readCommand("relation", await part1(opened));
          await pipeline.related(opened.org, relation, seen(exchange.store, opened));
          return { status: 204 };
        },
      },
      {
        station: "repository",
        path: "/repository/retrievals",
        purposes: ["retrieve"],
        event: "disclosure",
        holds: true,
        answer: (opened) => retrieve(exchange, pipeline, opened),
      },
      {
        station: "repository",
        path: "/repository/receipts",
        purposes: ["receipt"],
        event: "proof",
        answer: (opened) => takeProof(exchange, opened),
      },
    ],
  };
}

async function provide(exchange: Exchange, { also, ...record }: Provided): Promise<void> {
  const { identity, store, now, log } = exchange;
  const { manifest, manifestSha256 } = verifyOwn(exchange, record.manifest, record.signature);
  for (const { n, blob, facts } of record.parts) sameDigest(manifest, n, facts ?? store.blobs.facts(blob));
  const at = now();
  const { message, id } = manifest;
  const from = identity.org;
  const names = [manifestSha256];
  const receipt = await storedReceipt(exchange, { message, id, manifestSha256, to: from, names }, at);
  const changes = [
    ...store.records.add({
      ...record,
      parts: record.parts.map(({ n, blob }) => ({ n, blob })),
      origin: "own",
      author: from,
      manifestSha256,
      state: "stored",
      code: null,
      reason: null,
    }),
    ...store.records.attach(record.id, { kind: "stored", from, receipt }),
    ...store.messages.add({ org: from, message, digest: contentDigest(manifest), receipt, at: at.toISOString() }),
    ...also,
  ];
  await store.commit(changes, [], true);
  log("repository.stored", { message, channel: record.channel, count: record.parts.length });
}

/** The author's manifest and signature, verified now as they would be for anybody. */
function verifyOwn({ identity, now }: Exchange, bytes: Uint8Array, signature: Uint8Array) {
  const { signer, certificates } = verifySignedData(signature, manifestContentType, bytes);
  validatePath(signer, certificates, identity.trust, now());
  const manifest = readManifest(bytes);
  const owner = ownerOf(identity, readCertificate(signer).sha256);
  if (owner?.org !== identity.org || manifest.sender.org !== identity.org) {
    throw new Fault("ENVELOPE_NOT_OPENED", "the record is not signed by this site");
  }
  return { manifest, manifestSha256: hash("sha256", bytes) };
}

/** What this site has sealed: its signature holds. The certificate may have ended since: who asks judges it as of the registry's mark. */
function provided({ identity }: Exchange, { manifest: bytes, signature }: StoredRecord): Manifest {
  const { signer } = verifySignedData(signature, manifestContentType, bytes);
  const manifest = readManifest(bytes);
  if (manifest.sender.org !== identity.org || manifest.sender.cert !== readCertificate(signer).sha256)
    throw new Fault("STORE_DAMAGED", "the record is not signed by who its manifest names; restore it from a backup");
  return manifest;
}

function sameDigest(
  manifest: Manifest,
  n: number,
  facts: { size: number; sha256: string | null; root: string | null },
): void {
  const entry = manifest.parts.find((part) => part.n === n);
  const signed = entry && ("sha256" in entry ? entry.sha256 : "root" in entry ? entry.root : undefined);
  if (!signed || signed !== (facts.sha256 ?? facts.root))
    throw new Fault("STORE_DAMAGED", `part ${n} is not what the manifest signs`);
}

/** A partner sends a record on its own account; it is kept and delivered here, and never registered as ours. */
async function pushed(exchange: Exchange, pipeline: Pipeline, opened: AnyOpened): Promise<Answer> {
  const answer = await answerOnce(exchange, opened, {
    status: 201,
    names: [opened.manifestSha256],
    audit: { event: "submission", subject: opened.manifest.message, count: opened.manifest.parts.length },
    work: (changes) => pipeline.pushed(opened, changes),
    reread: async () => {
      for await (const part of opened.parts()) for await (const _ of part.cipher);
    },
  });
  exchange.log("repository.received", { peer: opened.org, message: opened.manifest.message });
  return answer;
}

/** An author tells that a record of its own was cancelled or replaced; the receipt names that record's manifest. */
async function notified(exchange: Exchange, pipeline: Pipeline, opened: AnyOpened): Promise<Answer> {
  const correction = readCommand("correction", await part1(opened));
  const answer = await answerOnce(exchange, opened, {
    status: 200,
    names: [correction.manifestSha256],
    audit: { event: "correction" },
    work: (changes) => pipeline.corrected(opened.org, correction, changes),
  });
  exchange.log("repository.corrected", { peer: opened.org, message: opened.manifest.message });
  return answer;
}

/** Steps 6 and 7: one record, under a new key for the one who asks, with the author's manifest as its origin. */
async function retrieve(exchange: Exchange, pipeline: Pipeline, opened: AnyOpened): Promise<Answer> {
  const { store, now, log } = exchange;
  const { uniqueId, manifestSha256 } = readCommand("retrieve", await part1(opened));
  if (opened.manifest.profile !== "semrs-2")
    throw new Fault(
      "NOT_PERMITTED",
      `nothing is re-addressed as ${opened.manifest.profile}; records are pushed to this partner`,
    );
  const record = store.records
    .byKey(keyOf(store, uniqueId))
    .find(
      ({ origin, parts, code, ...kept }) =>
        origin === "own" && kept.manifestSha256 === manifestSha256 && code !== cancelled && parts.length > 0,
    );
  if (!record) throw new Fault("DOCUMENT_UNKNOWN", "this repository holds no such document, or not for you");
  const manifest = provided(exchange, record);
  const content = record.parts.map(({ n, blob }) => contentFrom(exchange, manifest, n, blob));
  const marks = store.records
    .evidence(record.id)
    .filter(({ kind }) => kind === "registered")
    .map(({ receipt }) => receipt);
  const detail = `${content.length} parts`;
  const at = now().toISOString();
  await store.commit([
    ...seen(store, opened),
    ...store.records.attach(record.id, {
      kind: "request",
      from: opened.org,
      receipt: packSigned({ manifest: opened.manifestBytes, signature: opened.signature }),
    }),
    store.steps.add({ subject: record.id, at, station: "repository", event: "released", peer: opened.org, detail }),
    ...store.audit.add({
      event: "disclosure",
      subject: record.id,
      peer: opened.org,
      manifest: opened.manifestSha256,
      count: content.length,
    }),
  ]);
  // A cancellation that was committed meanwhile has not told this house: it gets nothing. One that comes from now on tells it.
  if (store.records.find(record.id)?.code === cancelled)
    throw new Fault("DOCUMENT_UNKNOWN", "this repository holds no such document, or not for you");
  await pipeline.handed?.(record.key);
  const bytes = content.reduce((sum, { facts }) => sum + facts.size, 0);
  log("repository.answered", { peer: opened.org, message: record.id, count: content.length, bytes });
  const { signature, manifest: octets } = record;
  return {
    status: 200,
    purpose: "response",
    messageType: manifest.headers["X-EEC-MessageType"],
    content,
    origin: { manifest: octets, signature, marks },
    resting: { record: record.id, blobs: record.parts.map(({ blob }) => blob) },
  };
}

function contentFrom({ store }: Exchange, manifest: Manifest, n: number, blob: BlobName): Content {
  const entry = manifest.parts.find((part) => part.n === n);
  if (!entry || !("role" in entry)) throw new Fault("STORE_DAMAGED", `part ${n} is not in the record's manifest`);
  const { role, type } = entry;
  const sop = "sop" in entry && entry.sop ? { sop: entry.sop } : {};
  return { role, type, ...sop, facts: store.blobs.facts(blob), cipher: () => store.blobs.read(blob) };
}

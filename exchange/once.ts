/**
 * Idempotency: (sender, message) is answered once. The same content again gets the same receipt, sealed anew or as the very
 * same envelope; other content under the same message, or under the same envelope id, is refused (refusals 78 and 93).
 */
import {
  type AnyOpened,
  contentDigest,
  contentOf,
  keptReceipt,
  type Receipt,
  signReceipt,
  utcSeconds,
} from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import { maxCommandBytes, receiptMediaType } from "../formats/command.ts";
import type { AuditEntry, Change, Store } from "../store/store.ts";
import type { Answer } from "./answers.ts";
import type { Exchange } from "./server.ts";

/** How long a replay row is kept beyond the envelope's own expiry. */
const replayGraceMs = 24 * 3600 * 1000;

export type Once = {
  readonly status: 200 | 201;
  /** The manifests that the receipt vouches for. */
  readonly names: readonly string[];
  /** How the audit log tells of it. */
  readonly audit: Pick<AuditEntry, "event" | "subject" | "count" | "patients">;
  /** Commits these changes, which keep the receipt, together with what the request changes. */
  work(changes: readonly Change[]): Promise<void>;
  /** Reads what came a second time, where `work` would have read it. */
  reread?(): Promise<void>;
};

/** Answers with the receipt of this message: the one kept from before, or a new one. */
export async function answerOnce(
  exchange: Exchange,
  opened: AnyOpened,
  { status, names, audit, work, reread }: Once,
): Promise<Answer> {
  const { store } = exchange;
  const { message, id } = opened.manifest;
  const digest = contentDigest(opened.manifest);
  const before = store.messages.find(opened.org, message);
  if (store.messages.hasSeen(opened.org, id) && !isSameEnvelope(before, opened))
    throw new Fault("ENVELOPE_REPLAYED", `another envelope of ${opened.org} with this id was opened before`);
  if (before) {
    const receipt = sameContent(before, digest);
    await reread?.();
    return await receipted(status, receipt, true);
  }

  const at = exchange.now();
  const { manifestSha256, org: to } = opened;
  const receipt = await storedReceipt(exchange, { message, id, manifestSha256, to, names }, at);
  const changes = [
    ...store.messages.add({ org: opened.org, message, digest, receipt, at: at.toISOString() }),
    ...seen(store, opened),
    ...store.audit.add({ peer: opened.org, manifest: manifestSha256, ...audit }),
  ];
  try {
    await work(changes);
    return await receipted(status, receipt);
  } catch (thrown) {
    // A second copy of the request may have been committed while this one was read.
    const meanwhile = store.messages.find(opened.org, message);
    if (meanwhile) return await receipted(status, sameContent(meanwhile, digest), true);
    throw thrown;
  }
}

/** That a message was stored at `at`, signed, with where our audit log stands. */
export function storedReceipt(
  { identity, store }: Exchange,
  { message, id, manifestSha256, to, names }: Pick<Receipt, "message" | "id" | "manifestSha256" | "to" | "names">,
  at: Date,
): Promise<Uint8Array> {
  const [from, log] = [identity.org, store.audit.head()];
  const receivedAt = utcSeconds(at);
  const says = { message, id, manifestSha256, from, to, verdict: "stored", receivedAt, names, log } as const;
  return signReceipt(says, identity.signer, at);
}

type Before = { readonly digest: string; readonly receipt: Uint8Array };

/** A replay row is written with the receipt of the envelope it is for, which names its manifest. */
function isSameEnvelope(before: Before | undefined, { manifest, manifestSha256 }: AnyOpened): boolean {
  const receipt = before && keptReceipt(before.receipt);
  return receipt?.id === manifest.id && receipt.manifestSha256 === manifestSha256;
}

const receipted = async (status: 200 | 201, receipt: Uint8Array, isRepeated = false): Promise<Answer> => ({
  status,
  purpose: "receipt",
  messageType: "receipt",
  content: [await contentOf(receipt, "command", receiptMediaType)],
  isRepeated,
});

function sameContent(kept: Before, digest: string): Uint8Array {
  if (kept.digest === digest) return kept.receipt;
  throw new Fault(
    "ENVELOPE_CONFLICT",
    "this message was received before with other content; draw a new message id for new content",
  );
}

/** What is kept of every request: its envelope id, which is good once, and where its sender's audit log stands. */
export const seen = (store: Store, { org, manifest }: AnyOpened): readonly Change[] => [
  store.messages.saw(org, manifest.id, Date.parse(manifest.expires) + replayGraceMs),
  ...store.witnesses.saw(org, manifest.log),
];

/** The command in part 1; the envelope must hold nothing else. */
export async function part1(opened: AnyOpened): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  for await (const part of opened.parts()) {
    if (part.entry.role !== "command")
      throw new Fault("QUERY_INVALID", "this resource takes one command and no documents");
    bytes = await part.bytes(maxCommandBytes);
  }
  if (!bytes) throw new Fault("QUERY_INVALID", "the envelope holds no command");
  return bytes;
}

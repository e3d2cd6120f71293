/**
 * Idempotency: (sender, message) is answered once. The same content again gets the same receipt; other content under the
 * same message is refused (exchange.md, "Idempotency").
 */
import { contentDigest, type Opened, signReceipt } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import { maxCommandBytes } from "../formats/command.ts";
import type { Change, Store } from "../store/store.ts";
import type { Exchange } from "./server.ts";

/** How long a replay row is kept beyond the envelope's own expiry. */
const replayGraceMs = 24 * 3600 * 1000;

export type Kept = { readonly receipt: Uint8Array; readonly changes: readonly Change[] };

/**
 * Answers with the receipt of this message: the one kept from before, or a new one that `work` commits together with what
 * it changes. `names` are the manifests that the receipt vouches for.
 */
export async function answerOnce(
  { identity, store, now }: Exchange,
  opened: Opened,
  names: readonly string[],
  work: (kept: Kept) => Promise<void>,
): Promise<Uint8Array> {
  const { message, id } = opened.manifest;
  const digest = contentDigest(opened.manifest);
  const before = store.messages.find(opened.org, message);
  if (before) return sameContent(before, digest);

  const at = now();
  const receivedAt = `${at.toISOString().slice(0, 19)}Z`;
  const { manifestSha256, org: to } = opened;
  const receipt = await signReceipt(
    { message, id, manifestSha256, from: identity.org, to, verdict: "stored", receivedAt, names: [...names] },
    identity.signer,
    at,
  );
  const changes = [
    store.messages.add({ org: opened.org, message, digest, receipt, at: at.toISOString() }),
    seen(store, opened),
  ];
  try {
    await work({ receipt, changes });
    return receipt;
  } catch (thrown) {
    // A second copy of the request may have been committed while this one was read.
    const meanwhile = store.messages.find(opened.org, message);
    if (meanwhile) return sameContent(meanwhile, digest);
    throw thrown;
  }
}

function sameContent(kept: { readonly digest: string; readonly receipt: Uint8Array }, digest: string): Uint8Array {
  if (kept.digest === digest) return kept.receipt;
  throw new Fault(
    "ENVELOPE_CONFLICT",
    "this message was received before with other content; draw a new message id for new content",
  );
}

/** The replay row of a request: its envelope id is good once. */
export const seen = (store: Store, { org, manifest }: Opened): Change =>
  store.messages.saw(org, manifest.id, Date.parse(manifest.expires) + replayGraceMs);

/** The command in part 1; the envelope must hold nothing else. */
export async function part1(opened: Opened): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  for await (const part of opened.parts()) {
    if (part.entry.role !== "command")
      throw new Fault("QUERY_INVALID", "this resource takes one command and no documents");
    bytes = await part.bytes(maxCommandBytes);
  }
  if (!bytes) throw new Fault("QUERY_INVALID", "the envelope holds no command");
  return bytes;
}

/**
 * The outer CMS of smime-4: AuthEnvelopedData (RFC 5083) with AES-256-GCM (RFC 5084) as any tool writes it, definite or
 * indefinite. What comes out is not proven before the stream has ended, and nothing may look inside before that: a reader that
 * stops at the first wrong octet of the clear text tells whoever changed the ciphertext what the clear text is.
 */

import { Fault } from "../errors.ts";
import { oids } from "./algorithms.ts";
import { malformed } from "./cms/ber.ts";
import { type BerReader, berReader } from "./cms/ber-stream.ts";
import { context, cursor, integer, numberOf, oid, oidOf, read, tag } from "./cms/der.ts";
import type { Unwrapper } from "./keys.ts";
import { gcmDecipher } from "./primitives.ts";
import { asNotOpened } from "./smime4-entity.ts";
import { readRecipients, type WrappedKey } from "./smime4-recipients.ts";

const maxRecipientsBytes = 256 * 1024;
const maxFieldBytes = 64;
const nonceBytes = 12;
const tagBytes = 16;

export type Enveloped = {
  readonly recipients: readonly WrappedKey[];
  /** Whose key opened it. */
  readonly unwrapper: Unwrapper;
  /** Clear text, unproven until the generator has ended. */
  readonly clear: AsyncGenerator<Uint8Array>;
};

/** Reads up to the ciphertext and unwraps its key. ENVELOPE_NOT_OPENED for anything but one message for one key of ours. */
export async function openEnveloped(
  stream: AsyncIterable<Uint8Array>,
  unwrappers: readonly Unwrapper[],
): Promise<Enveloped> {
  const ber = berReader(stream);
  await ber.enter(tag.sequence, "ContentInfo");
  const type = await ber.whole(tag.oid, maxFieldBytes, "contentType");
  sealed(() => checkType(oidOf(read(type))));
  await ber.enter(context(0), "content");
  await ber.enter(tag.sequence, "AuthEnvelopedData");
  await literally(ber, tag.integer, integer(0), "version 0");
  const infos = await ber.whole(tag.set, maxRecipientsBytes, "RecipientInfos");
  const recipients = sealed(() => readRecipients(infos));
  await ber.enter(tag.sequence, "EncryptedContentInfo");
  await literally(ber, tag.oid, oid(oids.data), "id-data");
  const algorithm = await ber.whole(tag.sequence, maxFieldBytes, "contentEncryptionAlgorithm");
  const nonce = sealed(() => nonceFrom(algorithm));
  const { unwrapper, cek } = await unwrap(recipients, unwrappers);
  return { recipients, unwrapper, clear: decrypted(ber, cek, nonce) };
}

function sealed<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw asNotOpened(thrown);
  }
}

/** RFC 9709: a message whose tag was taken away and that comes as CBC opens under the same key, to what its changer likes. */
function checkType(type: string): void {
  if (type === oids.envelopedData)
    throw malformed("EnvelopedData, which proves nothing, where AuthEnvelopedData is due");
  if (type !== oids.authEnvelopedData) throw malformed("not AuthEnvelopedData");
}

/** GCMParameters (RFC 5084 3.2): a nonce of 12 octets, and 16 of tag written out, for the DEFAULT is 12. */
function nonceFrom(algorithm: Uint8Array): Uint8Array {
  const fields = cursor(read(algorithm));
  if (oidOf(fields.take(tag.oid, "algorithm")) !== oids.aes256Gcm) throw malformed("aes256-GCM expected");
  const parameters = cursor(fields.take(tag.sequence, "GCMParameters"));
  fields.end("contentEncryptionAlgorithm");
  const nonce = parameters.take(tag.octetString, "aes-nonce").content;
  const icv = parameters.maybe(tag.integer);
  parameters.end("GCMParameters");
  if (nonce.length !== nonceBytes) throw malformed(`a nonce of ${nonce.length} octets instead of ${nonceBytes}`);
  if (!icv || numberOf(icv) !== tagBytes) throw malformed(`a tag that is not said to have ${tagBytes} octets`);
  return nonce;
}

async function unwrap(
  recipients: readonly WrappedKey[],
  unwrappers: readonly Unwrapper[],
): Promise<{ readonly unwrapper: Unwrapper; readonly cek: Uint8Array }> {
  const [ours, ...more] = recipients.flatMap((wrapped) =>
    unwrappers.filter(({ certificate }) => wrapped.isFor(certificate)).map((unwrapper) => ({ wrapped, unwrapper })),
  );
  if (!ours) throw malformed("no RecipientInfo is for a key of ours");
  if (more.length > 0) throw malformed("more than one RecipientInfo is for a key of ours");
  const { unwrapper, wrapped } = ours;
  try {
    return { unwrapper, cek: await unwrapper.unwrap(wrapped.infoFor(unwrapper.ski)) };
  } catch (thrown) {
    throw asNotOpened(thrown);
  }
}

async function* decrypted(ber: BerReader, cek: Uint8Array, nonce: Uint8Array): AsyncGenerator<Uint8Array> {
  const decipher = gcmDecipher(cek, nonce);
  for await (const piece of ber.octets(context(0, false), "encryptedContent")) yield decipher.update(piece);
  await ber.leave("EncryptedContentInfo");
  const mac = await ber.whole(tag.octetString, maxFieldBytes, "mac without authenticated attributes");
  for (const what of ["AuthEnvelopedData", "content", "ContentInfo"]) await ber.leave(what);
  await ber.end();
  if (mac.length !== 2 + tagBytes) throw malformed(`a tag of ${mac.length - 2} octets`);
  try {
    decipher.setAuthTag(mac.subarray(2));
    decipher.final();
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", "CMS: its tag does not hold", { cause });
  }
}

async function literally(ber: BerReader, tagOctet: number, expected: Uint8Array, what: string): Promise<void> {
  if (!Buffer.from(expected).equals(await ber.whole(tagOctet, maxFieldBytes, what)))
    throw malformed(`${what} expected`);
}

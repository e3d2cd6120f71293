/**
 * The inner CMS of smime-4: SignedData (RFC 5652 5) with its content inside, as any tool writes it. The content streams by; who
 * signed it is known at the end.
 */
import { createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import { oids } from "./algorithms.ts";
import { berReader } from "./cms/ber-stream.ts";
import { children, context, oid, oidOf, read, sequence, tag, tlv } from "./cms/der.ts";
import { readMessage } from "./message.ts";
import { decoded, isCms } from "./smime4-entity.ts";
import { type CheckedSigner, checkSignerInfo, digestOf } from "./smime4-signer-info.ts";

const maxFieldBytes = 256;
const maxCertificatesBytes = 256 * 1024;
const maxCrlsBytes = 4 * 1024 * 1024;
const maxSignerBytes = 64 * 1024;
const maxCertificates = 16;

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `signature: ${what}`);

export type SignedContent = {
  /** The octets that are signed; `signer` may be asked for once they have ended. */
  readonly content: AsyncGenerator<Uint8Array>;
  /** The one signer whose signature holds over them. */
  signer(): Promise<SignedBy>;
};

export type SignedBy = CheckedSigner & {
  readonly certificates: readonly Uint8Array[];
  /** SHA-256 of the content, hex. */
  readonly sha256: string;
  /** The same SignedData without its content: DER. */
  readonly detached: Uint8Array;
};

/** Reads the entity up to the content. Faults of what is inside; the caller makes one answer of them. */
export async function openSigned(entity: AsyncIterable<Uint8Array>): Promise<SignedContent> {
  const { headers, body } = await readMessage(entity);
  if (!isCms(headers, "signed-data")) throw refuse("no application/pkcs7-mime; smime-type=signed-data inside");
  const ber = berReader(decoded(headers, body));
  await ber.enter(tag.sequence, "ContentInfo");
  const type = await ber.whole(tag.oid, maxFieldBytes, "contentType");
  if (oidOf(read(type)) !== oids.signedData) throw refuse("not SignedData");
  await ber.enter(context(0), "content");
  await ber.enter(tag.sequence, "SignedData");
  const version = await ber.whole(tag.integer, maxFieldBytes, "version");
  const algorithms = await ber.whole(tag.set, maxFieldBytes, "digestAlgorithms");
  const [algorithm, ...more] = children(read(algorithms));
  if (more.length > 0) throw refuse("more than one digest algorithm");
  const digest = digestOf(algorithm?.raw);
  await ber.enter(tag.sequence, "encapContentInfo");
  const contentType = await ber.whole(tag.oid, maxFieldBytes, "eContentType");
  if (!Buffer.from(oid(oids.data)).equals(contentType)) throw refuse("another content than id-data");
  await ber.enter(context(0), "eContent");

  const hash = createHash(digest);
  const sha256 = digest === "sha256" ? hash : createHash("sha256");
  async function* content(): AsyncGenerator<Uint8Array> {
    for await (const piece of ber.octets(tag.octetString, "eContent")) {
      hash.update(piece);
      if (sha256 !== hash) sha256.update(piece);
      yield piece;
    }
  }
  const signer = async (): Promise<SignedBy> => {
    await ber.leave("eContent");
    await ber.leave("encapContentInfo");
    const certificates =
      (await ber.next()) === context(0) ? await ber.whole(context(0), maxCertificatesBytes, "certificates") : undefined;
    // Revocation is ours to know; lists in a message are passed over.
    if ((await ber.next()) === context(1)) await ber.whole(context(1), maxCrlsBytes, "crls");
    const signerInfos = await ber.whole(tag.set, maxSignerBytes, "signerInfos");
    for (const what of ["SignedData", "content", "ContentInfo"]) await ber.leave(what);
    await ber.end();
    const included = certificates ? children(read(certificates)).map(({ raw }) => raw) : [];
    if (included.length > maxCertificates) throw refuse(`more than ${maxCertificates} certificates`);
    const messageDigest = hash.digest();
    const checked = checkSignerInfo(signerInfos, { version, digest, messageDigest, certificates: included });
    const encapsulated = sequence(contentType);
    const parts = [version, algorithms, encapsulated, ...(certificates ? [certificates] : []), signerInfos];
    return {
      ...checked,
      certificates: included,
      sha256: (sha256 === hash ? messageDigest : sha256.digest()).toString("hex"),
      detached: sequence(oid(oids.signedData), tlv(context(0), sequence(...parts))),
    };
  };
  return { content: content(), signer };
}

/**
 * Messages of smime-4 for its tests: an honest one, and ones that are taken apart layer by layer, changed in one thing, and put
 * together again with right lengths, tags and signatures, in DER as `openssl cms -outform DER` writes it.
 */
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { oids } from "../../envelope/algorithms.ts";
import { readCertificate } from "../../envelope/certificate.ts";
import { each } from "../../envelope/cms/ber.ts";
import { context, integer, octetString, oid, sequence, tag, tlv } from "../../envelope/cms/der.ts";
import {
  type Draft,
  openSmime4,
  type RawHeaders,
  type Smime4Opening,
  type Spool,
  sealSmime4,
} from "../../envelope/index.ts";
import type { Signer } from "../../envelope/keys.ts";
import { wrapFor } from "../../envelope/recipient.ts";
import { signatureOver } from "../../envelope/signed-data.ts";
import { openEnveloped } from "../../envelope/smime4-frame.ts";
import { openSigned } from "../../envelope/smime4-signed.ts";
import { a, b, now, openingOf, type Party, parties } from "./parties.ts";
import { bodyOf, clearParts, collect, draftOf, inPieces, record } from "./samples.ts";

export const headers: RawHeaders = [
  ["MIME-Version", "1.0"],
  ["Content-Type", 'application/pkcs7-mime; smime-type=authEnveloped-data; name="smime.p7m"'],
  ["Content-Transfer-Encoding", "binary"],
];

/** Octets in memory, which a test can look at and change. */
export function memorySpool(): Spool & { readonly pieces: Uint8Array[]; reads(): number } {
  const pieces: Uint8Array[] = [];
  let reads = 0;
  return {
    pieces,
    reads: () => reads,
    write: async (cipher) => {
      pieces.length = 0;
      for await (const chunk of cipher) pieces.push(Uint8Array.from(chunk));
      return {
        read: () => {
          reads += 1;
          return each(pieces);
        },
      };
    },
  };
}

/** How these parties open smime-4. */
export const smime4Opening = (
  self: Party = b,
  changes: Partial<Smime4Opening> = {},
  known: readonly Party[] = parties,
): Smime4Opening => ({
  ...openingOf(self),
  partner: (sha256) => {
    const found = known.find(({ signer }) => readCertificate(signer.certificate).sha256 === sha256);
    return found && { org: found.org, profiles: ["smime-4"] };
  },
  spool: memorySpool(),
  ...changes,
});

export type Forgery = {
  readonly sizes?: readonly number[];
  readonly draft?: Partial<Draft>;
  readonly signer?: Signer;
  readonly signedAt?: Date;
  /** The headers that are signed, as text with CRLF. */
  head?(text: string): string;
  /** All octets that are signed. */
  entity?(octets: Buffer): Uint8Array;
  /** The SignedData, or what stands in its place. */
  signed?(der: Buffer, entity: Buffer): Uint8Array;
  /** The MIME entity that is encrypted. */
  inner?(text: string): string;
  recipients?(infos: readonly Uint8Array[], cek: Uint8Array): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** The fields of AuthEnvelopedData. */
  enveloped?(fields: Fields): Partial<Fields>;
  body?(octets: Buffer): Uint8Array;
  headers?(headers: RawHeaders): RawHeaders;
};

type Fields = {
  readonly type: string;
  readonly version: Uint8Array;
  readonly contentType: string;
  readonly cipherOid: string;
  readonly nonce: Uint8Array;
  readonly icv: readonly Uint8Array[];
  readonly encrypted: Uint8Array;
  readonly attributes: readonly Uint8Array[];
  readonly mac: Uint8Array;
  readonly after: readonly Uint8Array[];
};

/** The octets that an honest message of this draft signs. */
export async function honestEntity(draft: Draft, signer: Signer): Promise<Buffer> {
  const envelope = await sealSmime4({ ...draft, to: draftOf([]).to }, signer, now);
  const { clear } = await openEnveloped(inPieces(await bodyOf(envelope)), [b.unwrapper]);
  const signed = await openSigned(clear);
  const entity = await collect(signed.content);
  await signed.signer();
  return entity;
}

/** An attached signature in DER. */
export async function signedOver(entity: Uint8Array, signer: Signer, at: Date = now): Promise<Buffer> {
  const digest = signer.algorithm === "ed25519" ? "sha512" : "sha256";
  const { digests, trailer } = await signatureOver(createHash(digest).update(entity).digest(), oids.data, signer, at);
  const content = sequence(oid(oids.data), tlv(context(0), octetString(entity)));
  return Buffer.from(sequence(oid(oids.signedData), tlv(context(0), sequence(integer(3), digests, content, trailer))));
}

const base64 = (octets: Uint8Array): string =>
  Buffer.from(octets)
    .toString("base64")
    .replaceAll(/.{1,64}/g, "$&\r\n");

/** The MIME entity around a SignedData. */
export const innerOf = (signed: Uint8Array): string =>
  `Content-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n\r\n${base64(signed)}`;

export async function envelopedFor(clear: Uint8Array, forgery: Forgery = {}, to = draftOf([]).to): Promise<Buffer> {
  const cek = randomBytes(32);
  const infos = await Promise.all(to.map(({ certificate }) => wrapFor(certificate, cek)));
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", cek, nonce, { authTagLength: 16 });
  const encrypted = Buffer.concat([cipher.update(clear), cipher.final()]);
  const honest: Fields = {
    type: oids.authEnvelopedData,
    version: integer(0),
    contentType: oids.data,
    cipherOid: oids.aes256Gcm,
    nonce,
    icv: [integer(16)],
    encrypted: tlv(context(0, false), encrypted),
    attributes: [],
    mac: octetString(cipher.getAuthTag()),
    after: [],
  };
  const fields = { ...honest, ...forgery.enveloped?.(honest) };
  const set = tlv(tag.set, ...((await forgery.recipients?.(infos, cek)) ?? infos));
  const algorithm = sequence(oid(fields.cipherOid), sequence(octetString(fields.nonce), ...fields.icv));
  const content = sequence(oid(fields.contentType), algorithm, fields.encrypted);
  const data = sequence(fields.version, set, content, ...fields.attributes, fields.mac, ...fields.after);
  return Buffer.from(sequence(oid(fields.type), tlv(context(0), data)));
}

export async function forge(forgery: Forgery): Promise<{ readonly headers: RawHeaders; readonly body: Uint8Array }> {
  const draft = draftOf(await record(...(forgery.sizes ?? [500])), forgery.draft);
  const signer = forgery.signer ?? a.signer;
  const honest = await honestEntity(draft, signer);
  const end = honest.indexOf("\r\n\r\n");
  const text = honest.subarray(0, end).toString("latin1");
  const headed = Buffer.concat([Buffer.from(forgery.head?.(text) ?? text, "latin1"), honest.subarray(end)]);
  const entity = Buffer.from(forgery.entity?.(headed) ?? headed);
  const der = await signedOver(entity, signer, forgery.signedAt);
  const inner = innerOf(forgery.signed?.(der, entity) ?? der);
  const body = await envelopedFor(Buffer.from(forgery.inner?.(inner) ?? inner, "latin1"), forgery, draft.to);
  return { headers: forgery.headers?.(headers) ?? headers, body: forgery.body?.(body) ?? body };
}

/** Opens to the last octet: the number of parts. */
export async function openAll(
  message: { readonly headers: RawHeaders; readonly body: Uint8Array },
  changes: Partial<Smime4Opening> = {},
  known?: readonly Party[],
): Promise<number> {
  const opened = await openSmime4(message.headers, inPieces(message.body, 3000), smime4Opening(b, changes, known));
  return (await clearParts(opened)).length;
}

/** One header line of the signed ones with another value. */
export const withValue =
  (name: string, value: string) =>
  (text: string): string =>
    text.replace(new RegExp(`(^|\r\n)${name}: [^\r]*`), `$1${name}: ${value}`);

/**
 * Seals an S/MIME 4.0 message (RFC 8551): signs the record with its headers, then encrypts the signed message for its receivers.
 * In two passes over the parts, the first for the digest, since the signature's certificates and sizes come before and after a
 * content that is never held. What `openssl cms -decrypt` gives, `openssl cms -verify` takes: the inner message is base64.
 */
import { createHash, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { oids, signatureAlgorithms } from "./algorithms.ts";
import { readCertificate } from "./certificate.ts";
import { context, integer, oid, sequence, tlv } from "./cms/der.ts";
import { framed, framedLength, keyHead, segments, segmentsLength } from "./frame.ts";
import type { Signer } from "./keys.ts";
import { headersOf, utcSeconds } from "./manifest-of.ts";
import { closing, endOfHeaders } from "./mime.ts";
import { openCipher } from "./part-open.ts";
import { gcmCipher } from "./primitives.ts";
import { wrapFor } from "./recipient.ts";
import { type Draft, dayMs, drawLife, type Sealed } from "./seal.ts";
import { signatureOver } from "./signed-data.ts";
import { maxSmime4Bytes } from "./smime4.ts";
import { base64Length, toBase64 } from "./smime4-base64.ts";
import { readHead, writeHead } from "./smime4-headers.ts";
import { partOpening } from "./smime4-parts.ts";

const hex = (digits: string): Uint8Array => Buffer.from(digits.replaceAll(" ", ""), "hex");

/** The MIME entity inside the encryption (RFC 8551 3.4.2). */
const innerHead = Buffer.from(
  [
    "MIME-Version: 1.0",
    'Content-Disposition: attachment; filename="smime.p7m"',
    'Content-Type: application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"',
    "Content-Transfer-Encoding: base64",
    "",
    "",
  ].join("\r\n"),
);
/** ContentInfo { id-signedData, [0] SignedData { version 3, … */
const signedStart = hex("3080 0609 2a864886f70d010702 a080 3080 020103");
/** … EncapsulatedContentInfo { id-data, [0] OCTET STRING of segments … */
const contentStart = hex("3080 0609 2a864886f70d010701 a080 2480");
const contentEnd = hex("0000 0000 0000");
const signedEnd = hex("0000 0000 0000");
const cekBytes = 32;
const nonceBytes = 12;

/**
 * Signs and prepares; the body is made while it is read. `manifest` of the result are the signed headers, `signature` is the
 * SignedData without its content, `manifestSha256` is of all that is signed. ENVELOPE_MALFORMED when the draft makes no message
 * that a reader would take, ENVELOPE_UNSUPPORTED for a record of somebody else, TOO_LARGE beyond `maxBytes`.
 */
export async function sealSmime4(
  draft: Draft,
  signer: Signer,
  now: Date,
  lifetimeMs: number = dayMs,
  maxBytes: number = maxSmime4Bytes,
): Promise<Sealed> {
  if (draft.origin)
    throw new Fault("ENVELOPE_UNSUPPORTED", "a record of another author is re-addressed as semrs-2 only");
  const { id, ...life } = drawLife(now, lifetimeMs);
  const entity = entityOf(draft, signer, id, life);
  const { digest } = signatureAlgorithms[signer.algorithm];
  const hashes = { sha256: createHash("sha256"), sha512: createHash("sha512") };
  for await (const chunk of entity.octets()) {
    hashes.sha256.update(chunk);
    if (digest === "sha512") hashes.sha512.update(chunk);
  }
  const manifestSha256 = hashes.sha256.copy().digest("hex");
  const { digests, trailer } = await signatureOver(hashes[digest].digest(), oids.data, signer, now);
  const before = Buffer.concat([signedStart, digests, contentStart]);
  const after = Buffer.concat([contentEnd, trailer, signedEnd]);

  const size = innerHead.length + base64Length(before.length + segmentsLength(entity.size) + after.length);
  if (size > maxBytes) throw new Fault("TOO_LARGE", `the message would hold ${size} octets, and ${maxBytes} are taken`);
  async function* signed(): AsyncGenerator<Uint8Array> {
    yield before;
    yield* segments(entity.octets(), entity.size);
    yield after;
  }
  async function* inner(): AsyncGenerator<Uint8Array> {
    yield innerHead;
    yield* toBase64(signed());
  }
  // Wrapped once without use: what it takes is known, and a certificate that cannot be read is found before anything is sent.
  const head = keyHead(await wrapped(draft, randomBytes(cekBytes)), new Uint8Array(nonceBytes));
  return {
    id,
    manifest: entity.head,
    signature: sequence(
      oid(oids.signedData),
      tlv(context(0), sequence(integer(3), digests, sequence(oid(oids.data)), trailer)),
    ),
    manifestSha256,
    headers: [
      ["MIME-Version", "1.0"],
      ["Content-Type", 'application/pkcs7-mime; smime-type=authEnveloped-data; name="smime.p7m"'],
      ["Content-Transfer-Encoding", "binary"],
    ],
    contentLength: framedLength(size, head.length),
    body: () => enveloped(draft, inner(), size),
  };
}

const wrapped = (draft: Draft, cek: Uint8Array): Promise<readonly Uint8Array[]> =>
  Promise.all(draft.to.map(({ certificate }) => wrapFor(certificate, cek)));

/** Key and nonce are drawn here, for one pass over the clear text. */
async function* enveloped(draft: Draft, clear: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  const cek = randomBytes(cekBytes);
  const nonce = randomBytes(nonceBytes);
  const recipients = await wrapped(draft, cek);
  const cipher = gcmCipher(cek, nonce);
  async function* encrypted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of clear) yield cipher.update(chunk);
    cipher.final();
  }
  yield* framed(keyHead(recipients, nonce), encrypted(), size, () => cipher.getAuthTag());
}

type Entity = { readonly head: Uint8Array; readonly size: number; octets(): AsyncIterable<Uint8Array> };

/** What is signed: headers, and the parts in the clear, each of which proves its own digest while it is read. */
function entityOf(
  draft: Draft,
  signer: Signer,
  id: string,
  { created, expires }: { readonly created: Date; readonly expires: Date },
): Entity {
  const { content, to, message, purpose, inReplyTo, requestDigest } = draft;
  const boundary = `semrs-${randomBytes(16).toString("hex")}`;
  const head = writeHead(
    {
      id,
      message,
      purpose,
      created: utcSeconds(created),
      expires: utcSeconds(expires),
      inReplyTo: inReplyTo ?? null,
      requestDigest: requestDigest ?? null,
      to: to.map(({ certificate }) => readCertificate(certificate).sha256),
      headers: {
        ...headersOf(draft, signer),
        "X-EEC-BodypartCnt": String(content.length),
        "X-EEC-DistAlg": signer.algorithm === "ed25519" ? "sha-512" : "sha-256",
      },
    },
    boundary,
  );
  const parts = content.map((part, index) => ({ ...part, opening: openingOf(part, boundary, index) }));
  if (parts.length === 0) throw new Fault("ENVELOPE_MALFORMED", "the draft makes no envelope: no parts");
  checkReadable(head);
  const end = closing(boundary);
  const size = parts.reduce((sum, { opening, facts }) => sum + opening.length + facts.size, head.length + end.length);
  async function* octets(): AsyncGenerator<Uint8Array> {
    yield head;
    for (const { opening, cipher, facts } of parts) {
      yield opening;
      yield* openCipher(cipher(), facts);
    }
    yield end;
  }
  return { head, size, octets };
}

function openingOf(part: Draft["content"][number], boundary: string, index: number): Uint8Array {
  if ((part.facts.sha256 !== null) !== (index === 0))
    throw new Fault("ENVELOPE_MALFORMED", `part ${index + 1} lacks the digests of its place`);
  return partOpening(boundary, part, index);
}

/** What the own reader refuses is not sent. */
function checkReadable(head: Uint8Array): void {
  try {
    readHead(Buffer.from(head.subarray(0, -endOfHeaders.length)));
  } catch (cause) {
    throw new Fault("ENVELOPE_MALFORMED", `the draft makes no envelope: ${(cause as Error).message}`, { cause });
  }
}

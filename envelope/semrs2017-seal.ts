/**
 * Seals an envelope as the paper's Table 2 does, step by step; where the paper contradicts itself SPEC.md says what we do.
 * Everything random is drawn here, once: the body is the same octets however often it is sent, and a receiver knows it again.
 */
import { createHash, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { each } from "./cms/ber.ts";
import { type HeaderName, headerNames, maxParts } from "./manifest.ts";
import { closing, opening } from "./mime.ts";
import { maxPartBytes, maxWholeBytes } from "./part.ts";
import type { RawHeaders } from "./raw-headers.ts";
import { blockBytes, determined, isDocumentType, type KeyTransport, keyBytes } from "./semrs2017-algorithms.ts";
import { cbcLength, cbcSeal, cbcSealed } from "./semrs2017-cbc.ts";
import { type LegacySigner, wrapForLegacy } from "./semrs2017-keys.ts";

/** A DICOM document in the clear; each reading must give the same octets. */
export type Instance = { readonly size: number; clear(): AsyncIterable<Uint8Array> };

export type Draft2017 = {
  readonly sender: string;
  /** The receiver, DER of its legacy decrypt certificate, and how it takes the one-time key. */
  readonly to: { readonly org: string; readonly certificate: Uint8Array; readonly transport: KeyTransport };
  /** X-EEC-MessageType: the EEC form or a LOINC code. */
  readonly messageType: string;
  /** hisEMR: the CDA. */
  readonly document: Uint8Array;
  readonly instances: readonly Instance[];
};

export type Sealed2017 = {
  readonly headers: RawHeaders;
  /** Octets of the body. */
  readonly contentLength: number;
  /** mDist, hex, and its signature: what is left to prove that this was sent. */
  readonly documentSha256: string;
  readonly signature: Uint8Array;
  /** The multipart body; the instances are read and encrypted as it goes, to the same octets each time. */
  body(): AsyncIterable<Uint8Array>;
};

/** A part and its length, known before a single instance is read. */
type Part = { readonly length: number; octets(): AsyncIterable<Uint8Array> };

/** ENVELOPE_MALFORMED when the draft makes no envelope of documents, CERTIFICATE_INVALID when the receiver's key is not RSA. */
export async function seal2017(draft: Draft2017, signer: LegacySigner): Promise<Sealed2017> {
  checkDraft(draft);
  // Table 2 step 1: the CDA (hisEMR) as it is, and a one-time key that seals nothing else.
  const { document, to, instances } = draft;
  const oneTimeKey = randomBytes(keyBytes);
  const encrypt = (clear: Uint8Array): Buffer => cbcSeal(oneTimeKey, randomBytes(blockBytes), clear);

  // Table 2 steps 2–3: the values of the nine X-EEC tags under the one-time key.
  const values = headerValues(draft);
  const headers = headerNames.map((name): [string, string] => [
    name,
    encrypt(Buffer.from(values[name], "utf8")).toString("base64"),
  ]);
  // Table 2 step 4: EncEMR, the CDA under the one-time key.
  const encEmr = encrypt(document);
  // Table 2 step 5: mDist, the message digest of the CDA.
  const digest = createHash("sha256").update(document).digest();
  // Table 2 step 6: the signature over mDist. The paper joins FinPrt to it and never uses the result: mDist alone is signed.
  const signature = await signer.sign(digest);
  // Table 2 step 7: EncDist, the digest under the one-time key.
  const encDist = encrypt(digest);
  // Table 2 step 8: EncSign, the signature under the one-time key.
  const encSign = encrypt(signature);
  // Table 2 step 9: each DICOM document under the one-time key, not only when there is one.
  const encDicom = instances.map(({ size, clear }): Part => {
    const iv = randomBytes(blockBytes);
    return { length: cbcLength(size), octets: () => cbcSealed(oneTimeKey, iv, clear(), size) };
  });
  // Table 2 step 10: EncKey, the one-time key for the receiver.
  const encKey = wrapForLegacy(to.certificate, to.transport, oneTimeKey);
  // Table 2 step 11: parts 1 EncEMR, 2 EncDist, 3 EncSign, 4 EncKey, 5 … n DICOM (Figure 2).
  const parts = [...[encEmr, encDist, encSign, encKey].map(atHand), ...encDicom];

  const boundary = `semrs-${randomBytes(16).toString("hex")}`;
  return {
    headers: [["MIME-Version", "1.0"], ...headers, ["Content-Type", `multipart/mixed; boundary="${boundary}"`]],
    contentLength: parts.reduce(
      (sum, { length }, index) => sum + opening(boundary, index, "semrs-2017").length + length,
      closing(boundary).length,
    ),
    documentSha256: digest.toString("hex"),
    signature,
    body: () => bodyOf(parts, boundary),
  };
}

const headerValues = ({ sender, to, instances, messageType }: Draft2017): Readonly<Record<HeaderName, string>> => ({
  ...determined({ sender, receiver: to.org, transport: to.transport, instances: instances.length }),
  "X-EEC-MessageType": messageType,
});

const atHand = (octets: Uint8Array): Part => ({ length: octets.length, octets: () => each([octets]) });

async function* bodyOf(parts: readonly Part[], boundary: string): AsyncGenerator<Uint8Array> {
  for (const [index, { octets }] of parts.entries()) {
    yield opening(boundary, index, "semrs-2017");
    yield* octets();
  }
  yield closing(boundary);
}

/** What the own reader refuses is not sent. */
function checkDraft({ sender, to, messageType, document, instances }: Draft2017): void {
  const wrong = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `the draft makes no envelope: ${what}`);
  if (![sender, to.org].every((org) => /^[^\p{Cc},]{1,256}$/u.test(org))) throw wrong("an organisation has no name");
  if (!isDocumentType(messageType)) throw wrong("semrs-2017 carries documents: an EEC form or a LOINC code");
  if (document.length === 0 || document.length > maxWholeBytes) throw wrong("a document that is empty or too large");
  if (instances.length >= maxParts) throw wrong(`more than ${maxParts - 1} instances`);
  if (!instances.every(({ size }) => Number.isSafeInteger(size) && size > 0 && size <= maxPartBytes))
    throw wrong("an instance that is empty or too large");
}

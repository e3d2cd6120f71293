/** Table 3 from step 3 on: every step that needs the one-time key, in order, none left out, and one list of what failed. */
import { createHash, timingSafeEqual } from "node:crypto";
import { Fault } from "../errors.ts";
import { headerNames } from "./manifest.ts";
import { blockBytes, determined, digestBytes, isDocumentType, ownParts } from "./semrs2017-algorithms.ts";
import { cbcEnd, cbcOpen, cbcOpened } from "./semrs2017-cbc.ts";
import { isSignedByLegacy } from "./semrs2017-keys.ts";
import type { Opened2017, OpenedInstance, Opening2017 } from "./semrs2017-open.ts";
import type { Aside, Taken } from "./semrs2017-parts.ts";
import { trustedOwner } from "./signer.ts";

/** Opens and verifies; `opened` counts only if nothing failed. */
export function openWith(
  key: Uint8Array,
  taken: Taken,
  { self, trust, now, peer }: Opening2017<unknown>,
): { readonly failures: string[]; readonly opened: Opened2017 } {
  const verdict: [string, number][] = [];
  const judge = (what: string, bad: number): void => void verdict.push([what, bad]);

  // Table 3 step 3: the header values, compared with what configuration and body say they must be.
  const instances = taken.encDicom.length;
  const expected = determined({ sender: peer.org, receiver: self, transport: peer.transport, instances });
  let messageType = "";
  for (const name of headerNames) {
    const value = openValue(key, taken.sealed[name]);
    judge(`${name}: padding`, value.bad);
    if (name === "X-EEC-MessageType") messageType = value.text;
    else judge(`${name}: not as agreed`, Number(value.text !== expected[name]));
  }
  judge("X-EEC-MessageType: no document", Number(!isDocumentType(messageType)));
  // Table 3 step 4: the CDA, from EncEMR (the paper decrypts hisEMR, which is its own result).
  const document = cbcOpen(key, taken.encEmr);
  judge("part 1: padding", document.bad);
  judge("part 1: empty", Number(document.clear.length === 0));
  // Table 3 step 5: the digest.
  const digest = cbcOpen(key, taken.encDist);
  judge("part 2: padding", digest.bad);
  // Table 3 step 6: the signature, decrypted (the paper "encrypts" it).
  const signature = cbcOpen(key, taken.encSign);
  judge("part 3: padding", signature.bad);
  // Table 3 step 7: the DICOM documents, from parts 5 … n; their padding now, their octets after the verdict.
  const images = taken.encDicom.map((aside, index) => {
    const n = ownParts + 1 + index;
    const { instance, bad } = openInstance(key, aside, n);
    judge(`part ${n}: padding`, bad);
    return instance;
  });

  // Table 3 has no verification: digest = Hash(CDA), then the signature, by a certificate of this partner that holds now.
  const documentDigest = sha256(document.clear);
  judge("part 2: not the digest of part 1", Number(!isDigest(digest.clear, documentDigest)));
  const signers = peer.signing.map((certificate) => {
    const cause = causeOfDistrust(certificate, { trust, now, peer });
    return { certificate, cause, isSigner: isSigned(certificate, documentDigest, signature.clear) };
  });
  const signer = signers.find(({ cause, isSigner }) => isSigner && cause === undefined);
  const causes = signers.map(({ cause, isSigner }) => cause ?? (isSigner ? "verifies" : "does not verify"));
  judge(`part 3: signature: ${causes.join(", ") || "no certificate of this partner"}`, Number(!signer));

  return {
    failures: verdict.filter(([, bad]) => bad !== 0).map(([what]) => what),
    opened: {
      outcome: "opened",
      org: peer.org,
      messageType,
      document: document.clear,
      documentSha256: documentDigest.toString("hex"),
      signature: signature.clear,
      signer: signer?.certificate ?? new Uint8Array(),
      envelopeSha256: taken.envelopeSha256,
      instances: images,
    },
  };
}

/** Standard base64 of IV and ciphertext; another spelling of it is seen by anybody on the way, and counts as bad. */
function openValue(key: Uint8Array, value: string): { readonly text: string; readonly bad: number } {
  const octets = Buffer.from(value, "base64");
  const { clear, bad } = cbcOpen(key, octets);
  return { text: Buffer.from(clear).toString("utf8"), bad: bad | Number(octets.toString("base64") !== value) };
}

function openInstance(
  key: Uint8Array,
  { length, end, read }: Aside,
  n: number,
): { readonly instance: OpenedInstance; readonly bad: number } {
  const isWhole = length >= 2 * blockBytes && length % blockBytes === 0;
  const { count, bad } = cbcEnd(key, isWhole ? end : new Uint8Array(2 * blockBytes));
  const size = length - blockBytes - count;
  const clear = (): AsyncIterable<Uint8Array> => cbcOpened(key, read(), { length, count });
  return { instance: { n, size, integrity: "none", clear }, bad: bad | Number(!isWhole) | Number(size === 0) };
}

/** Whether part 2 holds this digest, compared at one length whatever came out. */
function isDigest(clear: Uint8Array, expected: Uint8Array): boolean {
  const compared = Buffer.alloc(digestBytes);
  compared.set(clear.subarray(0, digestBytes));
  const isSame = timingSafeEqual(compared, expected);
  return isSame && clear.length === digestBytes;
}

function isSigned(certificate: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  try {
    return isSignedByLegacy(certificate, digest, signature);
  } catch {
    return false;
  }
}

/** Why a certificate of the partner signs nothing now: its usage, its path, its revocation. Nothing of the message decides. */
function causeOfDistrust(
  certificate: Uint8Array,
  { trust, now, peer }: Pick<Opening2017<unknown>, "trust" | "now" | "peer">,
): string | undefined {
  try {
    trustedOwner(certificate, peer.chain, { trust, at: now, now, partner: () => peer });
    return undefined;
  } catch (cause) {
    if (cause instanceof Fault) return cause.message;
    throw cause;
  }
}

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

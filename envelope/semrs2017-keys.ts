/**
 * The keys of semrs-2017: used for it and for nothing else, so that whatever leaks through the older profile opens and signs
 * nothing of the others. Their types fit no other profile's. File keys only: a token would do its own padding check.
 */
import { constants, createHash, createHmac, type KeyObject, sign as signWith, verify } from "node:crypto";
import { promisify } from "node:util";
import { Fault } from "../errors.ts";
import { isRsaSize } from "./algorithms.ts";
import { pemToDer, readCertificate } from "./certificate.ts";
import { pair } from "./keys.ts";
import { type KeyTransport, signatureName } from "./semrs2017-algorithms.ts";
import { unwrapKey, wrapKey } from "./semrs2017-rsa.ts";

export type LegacySigner = {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly algorithm: typeof signatureName;
  /** SHA256withRSA (RSASSA-PKCS1-v1_5) over the octets of a digest, which it digests once more. */
  sign(digest: Uint8Array): Promise<Uint8Array>;
};

export type LegacyUnwrapper = {
  /** DER. */
  readonly certificate: Uint8Array;
  /** Always 32 octets: those of part 4, or others that nobody can tell from them. */
  unwrap(wrapped: Uint8Array, transport: KeyTransport): Uint8Array;
};

const signAsync = promisify(signWith) as (
  algorithm: string,
  data: Uint8Array,
  key: Parameters<typeof signWith>[2],
) => Promise<Buffer>;
const padding = constants.RSA_PKCS1_PADDING;
const substituteLabel = "semrs-2017/substitute\0";

/** A legacy signer from PEM: PKCS#8 key and its certificate. */
export function legacySignerFrom(keyPem: string, certificatePem: string): LegacySigner {
  const { key, certificate } = pair(keyPem, pemToDer(certificatePem)[0]);
  rsaOf(certificate.raw);
  return {
    certificate: certificate.raw,
    algorithm: signatureName,
    sign: async (digest) => await signAsync("sha256", digest, { key, padding }),
  };
}

/** A legacy unwrapper from PEM: PKCS#8 key and its certificate. */
export function legacyUnwrapperFrom(keyPem: string, certificatePem: string): LegacyUnwrapper {
  const { key, certificate } = pair(keyPem, pemToDer(certificatePem)[0]);
  rsaOf(certificate.raw);
  const secret = createHash("sha256")
    .update(substituteLabel)
    .update(key.export({ format: "der", type: "pkcs8" }))
    .digest();
  return {
    certificate: certificate.raw,
    unwrap: (wrapped, transport) => {
      // Random to everybody else, and the same for the same part 4: were it drawn anew each time, a second attempt would be
      // told from a first one by whether the key was reserved before, and with it a right padding from a wrong one.
      const substitute = createHmac("sha256", secret).update(wrapped).digest();
      return unwrapKey(key, transport, wrapped, substitute);
    },
  };
}

/** The one-time key for the owner of a certificate. */
export const wrapForLegacy = (certificate: Uint8Array, transport: KeyTransport, oneTimeKey: Uint8Array): Uint8Array =>
  wrapKey(rsaOf(certificate), transport, oneTimeKey);

/** Whether a digest was signed by the owner of a certificate. */
export const isSignedByLegacy = (certificate: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean =>
  verify("sha256", digest, { key: rsaOf(certificate), padding }, signature);

/** CONFIG_INVALID unless no public key has two uses, among these certificates (DER) of one organisation. */
export function checkSeparate(certificates: Readonly<Record<string, Uint8Array>>): void {
  const uses = new Map<string, string>();
  for (const [use, certificate] of Object.entries(certificates)) {
    const spki = readCertificate(certificate).publicKey.export({ format: "der", type: "spki" }).toString("hex");
    const other = uses.get(spki);
    if (other !== undefined)
      throw new Fault("CONFIG_INVALID", `${use} and ${other} have the same key; give each use a key of its own`);
    uses.set(spki, use);
  }
}

/** The RSA key of a certificate; CERTIFICATE_INVALID for any other. */
function rsaOf(certificate: Uint8Array): KeyObject {
  const { publicKey, sha256 } = readCertificate(certificate);
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  const bits = details?.modulusLength ?? 0;
  const isFit = type === "rsa" && isRsaSize(bits) && bits % 8 === 0;
  if (isFit && (details?.publicExponent ?? 0n) >= 65537n) return publicKey;
  throw new Fault(
    "CERTIFICATE_INVALID",
    `certificate ${sha256.slice(0, 8)}: semrs-2017 needs RSA of 2048 to 8192 bits`,
  );
}

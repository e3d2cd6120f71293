/** Private keys behind two one-method interfaces, asynchronous so that an HSM can stand behind them. */
import { constants, createPrivateKey, createPublicKey, type KeyObject, sign as signWith } from "node:crypto";
import { promisify } from "node:util";
import { Fault } from "../errors.ts";
import { isRsaSize, type SignatureAlgorithm } from "./algorithms.ts";
import { type Certificate, pemToDer, readCertificate } from "./certificate.ts";
import { unwrapWith } from "./recipient.ts";

export type Signer = {
  /** DER of the signing certificate. */
  readonly certificate: Uint8Array;
  /** Further certificates that help to build its path. */
  readonly chain: readonly Uint8Array[];
  readonly algorithm: SignatureAlgorithm;
  sign(bytes: Uint8Array): Promise<Uint8Array>;
};

export type Unwrapper = {
  readonly certificate: Uint8Array;
  /** Subject key identifier, hex: what a RecipientInfo names. */
  readonly ski: string;
  /** The key that a RecipientInfo (DER) wraps; ENVELOPE_NOT_OPENED if it is not for this key. */
  unwrap(recipientInfo: Uint8Array): Promise<Uint8Array>;
};

const signAsync = promisify(signWith) as (
  algorithm: string | null,
  data: Uint8Array,
  key: Parameters<typeof signWith>[2],
) => Promise<Buffer>;
const pssSaltBytes = 32;

/** A signer from PEM: PKCS#8 key, and its certificate first in the chain. */
export function signerFrom(keyPem: string, certificatesPem: string): Signer {
  const [leaf, ...chain] = pemToDer(certificatesPem);
  const { key, certificate } = pair(keyPem, leaf);
  const algorithm = algorithmOf(key);
  const parameters = {
    // DER without options, which `isSignedBy` does without, too.
    "ecdsa-p256-sha256": { hash: "sha256", key },
    "rsa-pss-sha256": {
      hash: "sha256",
      key: { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: pssSaltBytes },
    },
    ed25519: { hash: null, key },
  } as const;
  const { hash, key: options } = parameters[algorithm];
  return {
    certificate: certificate.raw,
    chain,
    algorithm,
    // A curve signs faster than a thread is asked for it; RSA takes milliseconds, which the event loop is spared.
    sign: async (bytes) =>
      algorithm === "rsa-pss-sha256" ? await signAsync(hash, bytes, options) : signWith(hash, bytes, options),
  };
}

/** An unwrapper from PEM: PKCS#8 key and its certificate. */
export function unwrapperFrom(keyPem: string, certificatePem: string): Unwrapper {
  const [leaf] = pemToDer(certificatePem);
  const { key, certificate } = pair(keyPem, leaf);
  return {
    certificate: certificate.raw,
    ski: certificate.ski,
    unwrap: async (recipientInfo) => unwrapWith(key, certificate.ski, recipientInfo),
  };
}

/** A private key and its certificate; CONFIG_INVALID unless they belong together. */
export function pair(
  keyPem: string,
  der: Uint8Array | undefined,
): { readonly key: KeyObject; readonly certificate: Certificate } {
  if (!der) throw new Fault("CONFIG_INVALID", "no certificate in the PEM file");
  const certificate = readCertificate(der);
  const key = privateKeyFrom(keyPem);
  if (!isPair(key, certificate))
    throw new Fault(
      "CONFIG_INVALID",
      `the private key is not the one of certificate ${certificate.sha256.slice(0, 8)}`,
    );
  return { key, certificate };
}

/** A private key from PEM; CONFIG_INVALID for what is none, or asks for a passphrase. */
export function privateKeyFrom(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", "the private key cannot be read; it has to be PEM without a passphrase", {
      cause,
    });
  }
}

/** `KeyObject.equals` of two kinds of keys leaves an error in OpenSSL's queue, which the next key that is read would be told with. */
export const isPair = (key: KeyObject, { publicKey }: Certificate): boolean =>
  spkiOf(createPublicKey(key)).equals(spkiOf(publicKey));
const spkiOf = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });

const algorithms = new WeakMap<KeyObject, SignatureAlgorithm>();

/** The algorithm follows from the key; nothing else signs. */
export function algorithmOf(key: KeyObject): SignatureAlgorithm {
  const known = algorithms.get(key);
  if (known) return known;
  // Reading a key's details exports it: once is enough.
  const algorithm = signatureOf(key);
  algorithms.set(key, algorithm);
  return algorithm;
}

function signatureOf(key: KeyObject): SignatureAlgorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ec" && details?.namedCurve === "prime256v1") return "ecdsa-p256-sha256";
  if (type === "ed25519") return "ed25519";
  if (type === "rsa" && isRsaSize(details?.modulusLength) && (details?.publicExponent ?? 0n) >= 65537n)
    return "rsa-pss-sha256";
  throw new Fault(
    "CERTIFICATE_INVALID",
    `a ${type} key of this size signs nothing here; use P-256, RSA-3072 or Ed25519`,
  );
}

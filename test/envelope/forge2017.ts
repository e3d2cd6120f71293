/**
 * Writes semrs-2017 from the specification alone, so that a test can have every octet otherwise. Nothing of envelope/ is used:
 * what this makes and our reader opens is read by two who did not talk to each other.
 */
import { constants, createCipheriv, createHash, publicEncrypt, randomBytes, sign, X509Certificate } from "node:crypto";
import { hospitalA, hospitalB } from "./legacy.ts";
import { cda, octets } from "./samples.ts";

export type Forgery = {
  readonly key?: Uint8Array;
  readonly transport?: "rsa-pkcs1" | "rsa-oaep";
  /** Clear header values. */
  readonly values?: Readonly<Record<string, string>>;
  readonly document?: Uint8Array;
  readonly digest?: Uint8Array;
  readonly signature?: Uint8Array;
  readonly images?: readonly Uint8Array[];
  /** Part 4. */
  readonly encKey?: Uint8Array;
  /** IV and ciphertext of a header (its name) or a part (its number) in place of the right one. */
  readonly sealed?: (which: string, right: Buffer, key: Uint8Array) => Uint8Array;
  readonly headers?: (headers: [string, string][]) => [string, string][];
  readonly parts?: (parts: Buffer[]) => Buffer[];
  readonly body?: (body: Buffer) => Buffer;
};

export type Forged = {
  readonly headers: [string, string][];
  readonly body: Buffer;
  readonly key: Uint8Array;
  readonly parts: readonly Buffer[];
};

/** AES-256-CBC with a fresh IV in front; `padding` in place of the right one makes it end anyhow. */
export function cbc(key: Uint8Array, clear: Uint8Array, padding?: Uint8Array, iv = randomBytes(16)): Buffer {
  const cipher = createCipheriv("aes-256-cbc", key, iv).setAutoPadding(padding === undefined);
  return Buffer.concat([iv, cipher.update(clear), cipher.update(padding ?? new Uint8Array()), cipher.final()]);
}

export const publicKeyOf = (certificate: string) => new X509Certificate(certificate).publicKey;

export const wrapped = (key: Uint8Array, transport: "rsa-pkcs1" | "rsa-oaep"): Buffer => {
  const publicKey = publicKeyOf(hospitalB.pem.decryptCertificate);
  return transport === "rsa-pkcs1"
    ? publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, key)
    : publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, key);
};

export const documentDigest = (document: Uint8Array): Buffer => createHash("sha256").update(document).digest();
export const signedBy = (keyPem: string, digest: Uint8Array): Buffer => sign("sha256", digest, keyPem);

/** Hospital A to hospital B, right in everything that is not asked for otherwise. */
export function forge2017(forgery: Forgery = {}): Forged {
  const { key = randomBytes(32), transport = "rsa-oaep", document = cda, images = [octets(100, 2)] } = forgery;
  const digest = forgery.digest ?? documentDigest(document);
  const signature = forgery.signature ?? signedBy(hospitalA.pem.signKey, digest);
  const values: Readonly<Record<string, string>> = {
    "X-EEC-Sender": "hospital-a",
    "X-EEC-Receiver": "hospital-b",
    "X-EEC-SymmetricAlg": "AES/CBC/PKCS5Padding",
    "X-EEC-AsymmetricAlg": transport === "rsa-pkcs1" ? "RSA/ECB/PKCS1Padding" : "RSA/ECB/OAEPWithSHA-256AndMGF1Padding",
    "X-EEC-DistAlg": "SHA-256",
    "X-EEC-SignAlg": "SHA256withRSA",
    "X-EEC-BodypartCnt": String(4 + images.length),
    "X-EEC-HeaderCnt": "9",
    "X-EEC-MessageType": "116",
    ...forgery.values,
  };
  const seal = (which: string, clear: Uint8Array): Buffer => {
    const right = cbc(key, clear);
    return Buffer.from(forgery.sealed?.(which, right, key) ?? right);
  };
  const sealed = Object.entries(values).map(([name, value]): [string, string] => [
    name,
    seal(name, Buffer.from(value, "utf8")).toString("base64"),
  ]);
  const parts = [
    seal("1", document),
    seal("2", digest),
    seal("3", signature),
    Buffer.from(forgery.encKey ?? wrapped(key, transport)),
    ...images.map((image, index) => seal(String(5 + index), image)),
  ];
  const boundary = `paper-${randomBytes(12).toString("hex")}`;
  const headers: [string, string][] = [
    ["MIME-Version", "1.0"],
    ...sealed,
    ["Content-Type", `multipart/mixed; boundary="${boundary}"`],
  ];
  const partHeaders = "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n";
  const changed = forgery.parts?.(parts) ?? parts;
  const body = Buffer.concat([
    ...changed.flatMap((part) => [Buffer.from(`--${boundary}\r\n${partHeaders}`), part, Buffer.from("\r\n")]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
  return {
    headers: forgery.headers?.(headers) ?? headers,
    body: forgery.body?.(body) ?? body,
    key,
    parts: changed,
  };
}

/** The nine header tags, their values encrypted under the one-time key (paper Table 2 step 10), padded so that a length tells little. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { type HeaderName, headerNames } from "./manifest.ts";
import { envelopeKey } from "./part.ts";

/** Headers as they stand on the wire, in order, duplicates kept. */
export type RawHeaders = readonly (readonly [string, string])[];

const nonceBytes = 12;
const tagBytes = 16;
const padBytes = 64;
const maxHeadersBytes = 64 * 1024;
const maxValueBytes = 8 * 1024;
const version = "v2.";

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `headers: ${what}`);
const additional = (name: string): Uint8Array => Buffer.from(`semrs-2\0${name.toLowerCase()}`);

/** One value under the header key: v2.base64url(nonce ‖ ciphertext ‖ tag), bound to its name. */
export function sealHeader(key: Uint8Array, name: HeaderName, value: string): string {
  const clear = Buffer.from(value, "utf8");
  const padded = Buffer.alloc(Math.ceil((clear.length + 1) / padBytes) * padBytes);
  clear.copy(padded);
  padded[clear.length] = 0x80;
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes }).setAAD(additional(name));
  return (
    version + Buffer.concat([nonce, cipher.update(padded), cipher.final(), cipher.getAuthTag()]).toString("base64url")
  );
}

/** The header key of an envelope. */
export const headerKey = (oneTimeKey: Uint8Array, id: string): Uint8Array => envelopeKey(oneTimeKey, id, "header");

/** The clear value; ENVELOPE_NOT_OPENED if it was changed or stood under another name. */
export function openHeader(key: Uint8Array, name: HeaderName, sealed: string): string {
  try {
    const bytes = Buffer.from(sealed.slice(version.length), "base64url");
    if (!sealed.startsWith(version) || bytes.toString("base64url") !== sealed.slice(version.length))
      throw new Error("form");
    if (bytes.length < nonceBytes + padBytes + tagBytes) throw new Error("length");
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
    decipher.setAAD(additional(name)).setAuthTag(bytes.subarray(-tagBytes));
    const padded = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
    const end = padded.lastIndexOf(0x80);
    if (end < 0 || padded.subarray(end + 1).some((octet) => octet !== 0)) throw new Error("padding");
    return new TextDecoder("utf-8", { fatal: true }).decode(padded.subarray(0, end));
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", `header ${name} does not open`, { cause });
  }
}

export type ClearHeaders = {
  readonly id: string;
  readonly boundary: string;
  readonly sealed: Readonly<Record<HeaderName, string>>;
};

/** Which envelope this is, before any cryptography: exactly one profile rule must match (ENVELOPE_UNSUPPORTED otherwise). */
export function readHeaders(headers: RawHeaders): ClearHeaders {
  const byName = new Map<string, string[]>();
  let size = 0;
  for (const [name, value] of headers) {
    size += name.length + value.length + 4;
    if (Buffer.byteLength(value) > maxValueBytes) throw malformed(`a value over ${maxValueBytes} octets`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    if (/[\u0000-\u001f\u007f]/.test(value)) throw malformed("a control character in a value");
    byName.set(name.toLowerCase(), [...(byName.get(name.toLowerCase()) ?? []), value]);
  }
  if (size > maxHeadersBytes) throw malformed(`over ${maxHeadersBytes} octets`);
  const profiles = byName.get("x-semrs-profile") ?? [];
  if (profiles.length !== 1 || profiles[0] !== "semrs-2") {
    throw new Fault("ENVELOPE_UNSUPPORTED", "no envelope profile that is accepted here; send semrs-2");
  }
  const once = (name: string): string => {
    const [value, ...more] = byName.get(name.toLowerCase()) ?? [];
    if (value === undefined || more.length > 0) throw malformed(`${name} must be there exactly once`);
    return value;
  };
  const allowed = new Set(["x-semrs-profile", "x-semrs-id", ...headerNames.map((name) => name.toLowerCase())]);
  for (const name of byName.keys())
    if (/^x-(eec|semrs)-/.test(name) && !allowed.has(name)) throw malformed(`${name} is not of this profile`);
  const id = once("X-SEMRS-Id");
  if (!/^[0-9a-f]{32}$/.test(id)) throw malformed("X-SEMRS-Id must be 32 lower-case hexadecimal digits");
  const [, boundary] =
    /^multipart\/mixed; ?boundary="([A-Za-z0-9'()+_,./:=?-]{1,70})"$/i.exec(once("Content-Type")) ?? [];
  if (!boundary) throw malformed("Content-Type must be multipart/mixed with one quoted boundary");
  return {
    id,
    boundary,
    sealed: Object.fromEntries(headerNames.map((name) => [name, once(name)])) as Record<HeaderName, string>,
  };
}

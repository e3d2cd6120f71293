/**
 * The nine header tags, their values encrypted under the one-time key (paper Table 1, Table 2), each bound to its name and
 * padded (ISO/IEC 7816-4) so that a length tells little; and what stands in the clear around them.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { type HeaderName, headerNames } from "./manifest.ts";
import { envelopeKey } from "./part.ts";
import { gcmDecipher } from "./primitives.ts";

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
    const paddedBytes = bytes.length - nonceBytes - tagBytes;
    if (paddedBytes < padBytes || paddedBytes % padBytes !== 0) throw new Error("length");
    const decipher = gcmDecipher(key, bytes.subarray(0, nonceBytes));
    decipher.setAAD(additional(name)).setAuthTag(bytes.subarray(-tagBytes));
    const padded = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
    const end = padded.lastIndexOf(0x80);
    if (end < paddedBytes - padBytes || padded.subarray(end + 1).some((octet) => octet !== 0))
      throw new Error("padding");
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(padded.subarray(0, end));
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", `header ${name} does not open`, { cause });
  }
}

/** What an envelope says in the clear. */
export type ClearHeaders = {
  readonly id: string;
  readonly boundary: string;
  readonly sealed: Readonly<Record<HeaderName, string>>;
};

const multipart = /^multipart\/mixed; ?boundary="([A-Za-z0-9'()+_,./:=?-]{1,70})"$/i;
const own: ReadonlySet<string> = new Set([
  "x-semrs-profile",
  "x-semrs-id",
  ...headerNames.map((name) => name.toLowerCase()),
]);

/**
 * Which envelope this is, before any cryptography. ENVELOPE_UNSUPPORTED unless the rule of this profile, and no other,
 * matches; ENVELOPE_MALFORMED when a header of the profile is missing, there twice, or not as this profile writes it.
 */
export function readHeaders(headers: RawHeaders): ClearHeaders {
  const byName = valuesOf(headers);
  const [type = "", ...moreTypes] = byName.get("content-type") ?? [];
  const [profile, ...moreProfiles] = byName.get("x-semrs-profile") ?? [];
  if (profile !== "semrs-2" || moreProfiles.length > 0 || /^application\/pkcs7-mime/i.test(type)) {
    throw new Fault("ENVELOPE_UNSUPPORTED", "no envelope profile that is accepted here; send semrs-2");
  }
  for (const name of byName.keys())
    if (/^x-(eec|semrs)-/.test(name) && !own.has(name))
      throw malformed("an X-EEC or X-SEMRS header that this profile has not");
  const once = (name: string): string => {
    const [value, ...more] = byName.get(name.toLowerCase()) ?? [];
    if (value === undefined || more.length > 0) throw malformed(`${name} must be there exactly once`);
    return value;
  };
  if (once("MIME-Version") !== "1.0") throw malformed("MIME-Version must be 1.0");
  const id = once("X-SEMRS-Id");
  if (!/^[0-9a-f]{32}$/.test(id)) throw malformed("X-SEMRS-Id must be 32 lower-case hexadecimal digits");
  const [, boundary] = multipart.exec(type) ?? [];
  if (!boundary || moreTypes.length > 0)
    throw malformed("Content-Type must be multipart/mixed with one quoted boundary");
  return {
    id,
    boundary,
    sealed: Object.fromEntries(headerNames.map((name) => [name, once(name)])) as Record<HeaderName, string>,
  };
}

/** Values by lower-case name, within the limits: printable US-ASCII only, so nothing is folded and no line ends inside (RFC 9110 5.5). */
export function valuesOf(headers: RawHeaders): ReadonlyMap<string, readonly string[]> {
  const byName = new Map<string, string[]>();
  let size = 0;
  for (const [name, value] of headers) {
    size += name.length + value.length + ": \r\n".length;
    if (value.length > maxValueBytes) throw malformed(`a value over ${maxValueBytes} octets`);
    if (size > maxHeadersBytes) throw malformed(`over ${maxHeadersBytes} octets`);
    if (!/^[\x20-\x7e]*$/.test(value)) throw malformed("a value that is not one line of US-ASCII");
    const key = name.toLowerCase();
    const values = byName.get(key) ?? [];
    values.push(value);
    byName.set(key, values);
  }
  return byName;
}

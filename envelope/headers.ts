/**
 * The nine header tags, their values encrypted under the one-time key (paper Table 1, Table 2), each bound to its name and
 * padded (ISO/IEC 7816-4) so that a length tells little; and what stands in the clear around them.
 */
import { type KeyObject, randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import { type HeaderName, headerNames } from "./manifest.ts";
import { envelopeKey } from "./part.ts";
import { gcmCipher, gcmOpen, type Key } from "./primitives.ts";
import { profileOf } from "./profile.ts";
import { boundaryOf, type HeaderValues, malformedHeaders, once, type RawHeaders, valuesOf } from "./raw-headers.ts";

export type { RawHeaders } from "./raw-headers.ts";

const nonceBytes = 12;
const tagBytes = 16;
const padBytes = 64;
const version = "v2.";

/** What each value is bound to. */
const additional = Object.fromEntries(
  headerNames.map((name) => [name, Buffer.from(`semrs-2\0${name.toLowerCase()}`)]),
) as Record<HeaderName, Buffer>;
const zeros = Buffer.alloc(padBytes);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One value under the header key: v2.base64url(nonce ‖ ciphertext ‖ tag), bound to its name. */
export function sealHeader(key: Key, name: HeaderName, value: string, nonce = randomBytes(nonceBytes)): string {
  const length = Buffer.byteLength(value);
  const padded = Buffer.alloc(Math.ceil((length + 1) / padBytes) * padBytes);
  padded.write(value);
  padded[length] = 0x80;
  const cipher = gcmCipher(key, nonce).setAAD(additional[name]);
  const octets = cipher.update(padded);
  cipher.final();
  return version + Buffer.concat([nonce, octets, cipher.getAuthTag()]).toString("base64url");
}

/** All nine, in order, under nonces of one draw. */
export function sealHeaders(
  key: Key,
  values: Readonly<Record<HeaderName, string>>,
): readonly (readonly [HeaderName, string])[] {
  const drawn = randomBytes(headerNames.length * nonceBytes);
  return headerNames.map((name, index): [HeaderName, string] => {
    const nonce = drawn.subarray(index * nonceBytes, (index + 1) * nonceBytes);
    return [name, sealHeader(key, name, values[name], nonce)];
  });
}

/** The header key of an envelope. */
export const headerKey = (oneTimeKey: Uint8Array, id: string): KeyObject => envelopeKey(oneTimeKey, id, "header");

/** The clear value; ENVELOPE_NOT_OPENED if it was changed or stood under another name. */
export function openHeader(key: Key, name: HeaderName, sealed: string): string {
  try {
    const bytes = Buffer.from(sealed.slice(version.length), "base64url");
    if (!sealed.startsWith(version) || bytes.toString("base64url") !== sealed.slice(version.length))
      throw new Error("form");
    const paddedBytes = bytes.length - nonceBytes - tagBytes;
    if (paddedBytes < padBytes || paddedBytes % padBytes !== 0) throw new Error("length");
    const [nonce, tag] = [bytes.subarray(0, nonceBytes), bytes.subarray(-tagBytes)];
    const padded = gcmOpen(key, nonce, bytes.subarray(nonceBytes, -tagBytes), tag, additional[name]);
    const end = padded.lastIndexOf(0x80);
    if (end < paddedBytes - padBytes || !padded.subarray(end + 1).equals(zeros.subarray(0, paddedBytes - end - 1)))
      throw new Error("padding");
    return utf8.decode(padded.subarray(0, end));
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
  if (profileOf(headers) !== "semrs-2")
    throw new Fault("ENVELOPE_UNSUPPORTED", "no envelope profile that is accepted here; send semrs-2");
  const byName = valuesOf(headers);
  for (const name of byName.keys())
    if (/^x-(eec|semrs)-/.test(name) && !own.has(name))
      throw malformedHeaders("an X-EEC or X-SEMRS header that this profile has not");
  const id = once(byName, "X-SEMRS-Id");
  if (!/^[0-9a-f]{32}$/.test(id)) throw malformedHeaders("X-SEMRS-Id must be 32 lower-case hexadecimal digits");
  return {
    id,
    boundary: boundaryOf(byName),
    sealed: sealedHeaders(byName),
  };
}

/** The nine values as they came, once each. */
export const sealedHeaders = (byName: HeaderValues): Readonly<Record<HeaderName, string>> =>
  Object.fromEntries(headerNames.map((name) => [name, once(byName, name)])) as Record<HeaderName, string>;

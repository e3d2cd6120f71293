/** Headers as every profile finds them on the wire: counted, printable, by name; nothing is looked at before that holds. */
import { Fault } from "../errors.ts";

/** Headers as they stand on the wire, in order, duplicates kept. */
export type RawHeaders = readonly (readonly [string, string])[];

/** Values by lower-case name, in order. */
export type HeaderValues = ReadonlyMap<string, readonly string[]>;

/** Whether a header of HTTP is one of the envelope's own: all others are of the hop. */
export const isEnvelopeHeader = (name: string): boolean =>
  /^(mime-version|content-(type|transfer-encoding)|x-(semrs|eec)-)/i.test(name);

const maxHeadersBytes = 64 * 1024;
const maxValueBytes = 8 * 1024;

export const malformedHeaders = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `headers: ${what}`);

const counted = new WeakMap<RawHeaders, HeaderValues>();

/** Values by lower-case name: printable US-ASCII only, so nothing is folded and no line ends inside (RFC 9110 5.5). */
export function valuesOf(headers: RawHeaders): HeaderValues {
  // Asked for the profile, for what is known of the partner, and to read them: the same list each time.
  const known = counted.get(headers) ?? byNameOf(headers);
  counted.set(headers, known);
  return known;
}

function byNameOf(headers: RawHeaders): HeaderValues {
  const byName = new Map<string, string[]>();
  let size = 0;
  for (const [name, value] of headers) {
    size += name.length + value.length + ": \r\n".length;
    if (value.length > maxValueBytes) throw malformedHeaders(`a value over ${maxValueBytes} octets`);
    if (size > maxHeadersBytes) throw malformedHeaders(`over ${maxHeadersBytes} octets`);
    if (!/^[\x20-\x7e]*$/.test(value)) throw malformedHeaders("a value that is not one line of US-ASCII");
    const key = name.toLowerCase();
    const values = byName.get(key) ?? [];
    values.push(value);
    byName.set(key, values);
  }
  return byName;
}

/** The one value of a header; ENVELOPE_MALFORMED when it is missing or there twice. */
export function once(headers: HeaderValues, name: string): string {
  const [value, ...more] = headers.get(name.toLowerCase()) ?? [];
  if (value === undefined || more.length > 0) throw malformedHeaders(`${name} must be there exactly once`);
  return value;
}

const multipart = /^multipart\/mixed; ?boundary="([A-Za-z0-9'()+_,./:=?-]{1,70})"$/i;

/** The boundary of a multipart profile, whose MIME headers are these and no others (RFC 2046 5.1.1). */
export function boundaryOf(headers: HeaderValues): string {
  if (once(headers, "MIME-Version") !== "1.0") throw malformedHeaders("MIME-Version must be 1.0");
  const [type = "", ...more] = headers.get("content-type") ?? [];
  const [, boundary] = multipart.exec(type) ?? [];
  if (!boundary || more.length > 0)
    throw malformedHeaders("Content-Type must be multipart/mixed with one quoted boundary");
  return boundary;
}

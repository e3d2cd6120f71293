/**
 * The MIME entity around a CMS message (RFC 8551 3.2): its headers, which nobody has signed and which serve to find the octets,
 * and its transfer encoding.
 */
import { Fault } from "../errors.ts";
import type { RawHeaders } from "./headers.ts";
import { fromBase64 } from "./smime4-base64.ts";

const maxValueBytes = 8 * 1024;

const malformed = (what: string): Fault => new Fault("ENVELOPE_MALFORMED", `S/MIME: ${what}`);

/** The octets of CMS in a body, by its transfer encoding (RFC 8551 3.1.2: base64, binary; a clear channel may say nothing). */
export function decoded(headers: RawHeaders, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const encoding = once(headers, "Content-Transfer-Encoding")?.toLowerCase() ?? "binary";
  if (encoding === "base64") return fromBase64(body);
  if (encoding === "binary") return body;
  throw malformed("a Content-Transfer-Encoding other than base64 and binary");
}

/** Whether this is `application/pkcs7-mime` of this smime-type, said once and in one way. */
export function isCms(headers: RawHeaders, smimeType: string): boolean {
  const [type = "", ...parameters] = (once(headers, "Content-Type") ?? "").split(";").map((part) => part.trim());
  const kinds = parameters.filter((each) => /^smime-type=/i.test(each));
  const [, kind = ""] = /^smime-type="?([a-z-]+)"?$/i.exec(kinds[0] ?? "") ?? [];
  return (
    type.toLowerCase() === "application/pkcs7-mime" &&
    kinds.length === 1 &&
    kind.toLowerCase() === smimeType.toLowerCase()
  );
}

function once(headers: RawHeaders, name: string): string | undefined {
  const [value, ...more] = headers.filter(([each]) => each.toLowerCase() === name.toLowerCase());
  if (more.length > 0) throw malformed(`${name} twice`);
  if (value && !(value[1].length <= maxValueBytes && /^[\x20-\x7e]*$/.test(value[1])))
    throw malformed(`${name} that is not one line of US-ASCII`);
  return value?.[1];
}

/** What is refused inside is refused as everything that is sealed: the cause for the log, one answer for the peer. */
export const asNotOpened = (thrown: unknown): unknown =>
  thrown instanceof Fault && (thrown.code === "ENVELOPE_MALFORMED" || thrown.code === "ENVELOPE_UNSUPPORTED")
    ? new Fault("ENVELOPE_NOT_OPENED", thrown.message, { cause: thrown })
    : thrown;

/**
 * Names as RFC 5280 7.1 compares them: text without regard to case, to runs of spaces, or to which string type wrote it. A name
 * is a list of keys, one an RDN, so that equality and subtrees are comparisons of strings.
 */
import { Fault } from "../errors.ts";
import { children, context, cursor, type Element, oidOf, tag } from "./cms/der.ts";

/** One key an RDN, from the root down. */
export type NameKeys = readonly string[];

/** Tag numbers of GeneralName (RFC 5280 4.2.1.6). */
export const general = { rfc822: 1, dns: 2, directory: 4, uri: 6, ip: 7 } as const;

export type GeneralName = {
  /** Its tag number. */
  readonly kind: number;
  /** Content octets; of a directoryName, the Name. */
  readonly content: Uint8Array;
  /** RDNs of a directoryName, else empty. */
  readonly rdns: NameKeys;
  /** Two names are the same if these are. */
  readonly key: string;
};

const maxRdns = 64;
const maxNames = 1024;

const texts: Readonly<Record<number, (octets: Buffer) => string>> = {
  [tag.utf8String]: (octets) => octets.toString("utf8"),
  [tag.printableString]: (octets) => octets.toString("latin1"),
  [tag.ia5String]: (octets) => octets.toString("latin1"),
  20: (octets) => octets.toString("latin1"), // TeletexString
  28: (octets) => utf32(octets), // UniversalString
  30: (octets) =>
    Buffer.from(octets.subarray(0, octets.length & ~1))
      .swap16()
      .toString("utf16le"), // BMPString
};

/** Keys of a Name, one an RDN. */
export function rdnsOf(name: Element): NameKeys {
  const sets = children(name);
  if (sets.length > maxRdns) throw new Fault("CERTIFICATE_INVALID", `a name of more than ${maxRdns} parts`);
  return sets.map(rdnOf);
}

/** Key of one RelativeDistinguishedName, whatever its tag: a set, so without order. */
export const rdnOf = (set: Element): string => children(set).map(attribute).sort().join("\t");

/** A whole name as one key. */
export const nameKey = (rdns: NameKeys): string => rdns.join("\n");

function attribute(element: Element): string {
  const [type, value] = children(element);
  if (!type || !value) throw new Fault("CERTIFICATE_INVALID", "a name with an attribute that is none");
  const text = texts[value.tag];
  const content = Buffer.from(value.content);
  const plain = text ? `t${folded(text(content))}` : `x${value.tag} ${content.toString("hex")}`;
  return `${oidOf(type)}=${plain}`;
}

/** RFC 4518 2 as far as names in certificates go: compatibility forms, case and spaces. */
const folded = (text: string): string => text.normalize("NFKC").toLowerCase().trim().replaceAll(/\s+/g, " ");

function utf32(octets: Buffer): string {
  let text = "";
  for (let at = 0; at + 4 <= octets.length; at += 4) {
    const point = octets.readUInt32BE(at);
    text += String.fromCodePoint(point <= 0x10ffff ? point : 0xfffd);
  }
  return text;
}

/** The GeneralNames inside an element, whatever its own tag. */
export function generalNamesOf(list: Element): readonly GeneralName[] {
  const names = children(list);
  if (names.length > maxNames) throw new Fault("CERTIFICATE_INVALID", `more than ${maxNames} names`);
  return names.map(generalNameOf);
}

/** One GeneralName. */
export function generalNameOf(element: Element): GeneralName {
  const kind = element.tag & 0x1f;
  if (element.tag === context(general.directory)) {
    // A Name is a CHOICE, so its tag is explicit (X.680 31.2.7).
    const inner = cursor(element);
    const name = inner.take(tag.sequence, "directoryName");
    inner.end("directoryName");
    return directoryName(rdnsOf(name), name.content);
  }
  return { kind, content: element.content, rdns: [], key: `${kind} ${Buffer.from(element.content).toString("hex")}` };
}

/** A directoryName from its keys. */
export const directoryName = (rdns: NameKeys, content: Uint8Array = new Uint8Array()): GeneralName => ({
  kind: general.directory,
  content,
  rdns,
  key: `${general.directory} ${nameKey(rdns)}`,
});

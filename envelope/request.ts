/** Certificate requests (PKCS#10, RFC 2986): written for a site's keys, read by the CA that issues. */
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { Fault } from "../errors.ts";
import { oids } from "./algorithms.ts";
import {
  bitString,
  bitsOf,
  children,
  context,
  cursor,
  integer,
  nothing,
  numberOf,
  octetString,
  oid,
  oidOf,
  read,
  sequence,
  setOf,
  tag,
  tlv,
  utf8,
} from "./cms/der.ts";

const extensionRequest = "1.2.840.113549.1.9.14";
const algorithms: Readonly<Record<string, string>> = { rsa: oids.sha256WithRsa, ec: oids.ecdsaWithSha256 };
const maxRequestBytes = 16 * 1024;
const maxNames = 32;

export type SiteRequest = {
  readonly subject: { readonly commonName: string; readonly organization: string };
  /** DNS names and IPv4 addresses. */
  readonly names: readonly string[];
};

/** DER of a request, signed with the key it is for. */
export function writeRequest({ subject, names, key }: SiteRequest & { readonly key: KeyObject }): Uint8Array {
  const alternatives = names.map((name) =>
    /^[0-9.]+$/.test(name)
      ? tlv(context(7, false), Uint8Array.from(name.split(".").map(Number)))
      : tlv(context(2, false), Buffer.from(name, "ascii")),
  );
  const extension = sequence(oid(oids.subjectAltName), octetString(sequence(...alternatives)));
  const attributes = names.length === 0 ? [] : [sequence(oid(extensionRequest), setOf(sequence(extension)))];
  const info = sequence(
    integer(0),
    sequence(
      setOf(sequence(oid(oids.organization), utf8(subject.organization))),
      setOf(sequence(oid(oids.commonName), utf8(subject.commonName))),
    ),
    createPublicKey(key as never).export({ format: "der", type: "spki" }),
    tlv(context(0), ...attributes),
  );
  const algorithm =
    key.asymmetricKeyType === "rsa" ? sequence(oid(oids.sha256WithRsa), nothing) : sequence(oid(oids.ecdsaWithSha256));
  return sequence(info, algorithm, bitString(sign("sha256", info, key)));
}

/** A request whose signature holds; CERTIFICATE_INVALID for anything else. */
export function readRequest(der: Uint8Array): SiteRequest & { readonly publicKey: string } {
  if (der.length > maxRequestBytes) throw refuse(`over ${maxRequestBytes} octets`);
  try {
    return parse(der);
  } catch (thrown) {
    throw thrown instanceof Fault && thrown.code === "CERTIFICATE_INVALID" ? thrown : refuse("cannot be read");
  }
}

function parse(der: Uint8Array): SiteRequest & { readonly publicKey: string } {
  const outer = cursor(read(der, tag.sequence));
  const info = outer.take(tag.sequence, "certificationRequestInfo");
  const algorithm = oidOf(cursor(outer.take(tag.sequence, "signatureAlgorithm")).take(tag.oid, "algorithm"));
  const signature = bitsOf(outer.take(tag.bitString, "signature"));
  const fields = cursor(info);
  if (numberOf(fields.take(tag.integer, "version")) !== 0) throw refuse("another version than 0");
  const subject = fields.take(tag.sequence, "subject");
  const spki = fields.take(tag.sequence, "subjectPKInfo");
  const key = createPublicKey({ key: Buffer.from(spki.raw), format: "der", type: "spki" });
  if (algorithm !== algorithms[key.asymmetricKeyType ?? ""])
    throw refuse("an algorithm other than SHA-256 with this key");
  if (!verify("sha256", info.raw, key, signature)) throw refuse("the signature is not by the key it asks for");
  const attributes = fields.take(context(0), "attributes");
  const byType = new Map<string, string>();
  for (const set of children(subject))
    for (const pair of children(set)) {
      const [type, value] = children(pair);
      if (type && value) byType.set(oidOf(type), Buffer.from(value.content).toString("utf8"));
    }
  const [commonName, organization] = [byType.get(oids.commonName), byType.get(oids.organization)];
  if (!commonName || !organization) throw refuse("the subject has no common name or organization");
  const publicKey = String(key.export({ format: "pem", type: "spki" }));
  return { subject: { commonName, organization }, names: namesOf(attributes), publicKey };
}

/** subjectAltName of the extensionRequest attribute (RFC 2985 5.4.2). */
function namesOf(attributes: ReturnType<typeof read>): readonly string[] {
  const names: string[] = [];
  for (const attribute of children(attributes)) {
    const [type, values] = children(attribute);
    if (!type || !values || oidOf(type) !== extensionRequest) continue;
    for (const extensions of children(values))
      for (const extension of children(extensions)) {
        const parts = children(extension);
        const [id, value] = [parts[0], parts.at(-1)];
        if (!id || !value || oidOf(id) !== oids.subjectAltName) continue;
        for (const name of children(read(value.content, tag.sequence))) {
          if (names.length >= maxNames) throw refuse(`more than ${maxNames} names`);
          if (name.tag === context(2, false)) names.push(Buffer.from(name.content).toString("ascii"));
          if (name.tag === context(7, false) && name.content.length === 4) names.push([...name.content].join("."));
        }
      }
  }
  return names;
}

const refuse = (what: string): Fault => new Fault("CERTIFICATE_INVALID", `certificate request: ${what}`);

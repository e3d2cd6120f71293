/** Certificates and revocation lists with whatever extensions a test needs, signed for real. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { oids } from "../../envelope/algorithms.ts";
import {
  bitString,
  boolean,
  context,
  integer,
  nothing,
  octetString,
  oid,
  sequence,
  setOf,
  time,
  tlv,
  utf8,
} from "../../envelope/cms/der.ts";

export type Extra = readonly [id: string, value: Uint8Array, isCritical?: boolean];
export type Holder = { readonly name: string; readonly key: KeyObject; readonly publicKey: KeyObject };

const identifiers = {
  ec: sequence(oid(oids.ecdsaWithSha256)),
  rsa: sequence(oid(oids.sha256WithRsa), nothing),
} as const;
const identifierOf = (key: KeyObject): Uint8Array =>
  key.asymmetricKeyType === "rsa" ? identifiers.rsa : identifiers.ec;
const nameOf = (text: string): Uint8Array => sequence(setOf(sequence(oid(oids.commonName), utf8(text))));
const extensionsOf = (extras: readonly Extra[]): Uint8Array =>
  sequence(
    ...extras.map(([id, value, isCritical]) =>
      sequence(oid(id), ...(isCritical ? [boolean(true)] : []), octetString(value)),
    ),
  );
const signed = (tbs: Uint8Array, key: KeyObject, identifier = identifierOf(key)): Uint8Array =>
  sequence(tbs, identifier, bitString(sign("sha256", tbs, key)));

/** Somebody with a key: P-256, or RSA of these bits and exponent. */
export function holder(name: string, rsa?: { readonly bits: number; readonly exponent?: number }): Holder {
  const pair = rsa
    ? generateKeyPairSync("rsa", { modulusLength: rsa.bits, publicExponent: rsa.exponent ?? 65537 })
    : generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  return { name, key: pair.privateKey, publicKey: pair.publicKey };
}

export const period = { notBefore: new Date("2026-01-01T00:00:00Z"), notAfter: new Date("2027-01-01T00:00:00Z") };
let serial = 1;

/** A certificate of v3 for `subject` by `issuer`; `changed` for a serial number, an algorithm or an end of its own. */
export function certify(
  subject: Holder,
  issuer: Holder,
  extras: readonly Extra[],
  changed: { readonly serial?: Uint8Array; readonly identifier?: Uint8Array; readonly notAfter?: Date } = {},
): Uint8Array {
  serial += 1;
  const identifier = changed.identifier ?? identifierOf(issuer.key);
  const tbs = sequence(
    tlv(context(0), integer(2)),
    integer(changed.serial ?? serial),
    identifier,
    nameOf(issuer.name),
    sequence(time(period.notBefore), time(changed.notAfter ?? period.notAfter)),
    nameOf(subject.name),
    subject.publicKey.export({ format: "der", type: "spki" }),
    tlv(context(3), extensionsOf(extras)),
  );
  return signed(tbs, issuer.key, identifier);
}

/** A list of this day; `revoked` are serial numbers as DER INTEGERs, each with these extensions. */
export function list(
  issuer: Holder,
  revoked: readonly Uint8Array[] = [],
  extras: readonly Extra[] = [],
  ofEntry: readonly Extra[] = [],
  thisUpdate: Date = period.notBefore,
  nextUpdate: Date = period.notAfter,
): Uint8Array {
  const more = ofEntry.length > 0 ? [extensionsOf(ofEntry)] : [];
  const entries = revoked.map((each) => sequence(each, time(period.notBefore), ...more));
  const numbered: readonly Extra[] = [[oids.crlNumber, integer(1)], ...extras];
  const tbs = sequence(
    integer(1),
    identifierOf(issuer.key),
    nameOf(issuer.name),
    time(thisUpdate),
    time(nextUpdate),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    tlv(context(0), extensionsOf(numbered)),
  );
  return signed(tbs, issuer.key);
}

const usage = (bits: number): Extra => [oids.keyUsage, bitString(Uint8Array.of(bits)), true];

/** BasicConstraints and key usage of an authority. */
export const authorityExtras = (pathLength?: number): readonly Extra[] => [
  [oids.basicConstraints, sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)])), true],
  usage(0b0000_0110),
];
/** Key usage of a signer. */
export const signerExtras: readonly Extra[] = [usage(0b1000_0000)];

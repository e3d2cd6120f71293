/** Which revocation list speaks for which certificate: DistributionPoint (RFC 5280 4.2.1.13) and IssuingDistributionPoint (5.2.5). */
import { booleanOf, children, context, cursor, type Element } from "./cms/der.ts";
import { directoryName, type GeneralName, generalNamesOf, type NameKeys, rdnOf } from "./names.ts";

/** Reasons as a bit mask: bit 1 keyCompromise … bit 8 aACompromise. */
export type Reasons = number;
export const allReasons: Reasons = 0b1_1111_1110;

export type DistributionPoint = {
  /** Full names, or a part below the issuer of the list; null where none is said. */
  readonly name: PointName | null;
  readonly reasons: Reasons;
  /** Who signs the list, when it is not the issuer of the certificate. */
  readonly crlIssuer: readonly GeneralName[] | null;
};

export type PointName = { readonly full: readonly GeneralName[] } | { readonly relative: string };

export type IssuingPoint = {
  readonly name: PointName | null;
  readonly isForUsers: boolean;
  readonly isForAuthorities: boolean;
  readonly isForAttributes: boolean;
  readonly reasons: Reasons;
  readonly isIndirect: boolean;
};

/** CRLDistributionPoints, and FreshestCRL, which has the same syntax. */
export const distributionPointsOf = (value: Element): readonly DistributionPoint[] =>
  children(value).map((element) => {
    const fields = cursor(element);
    const name = fields.maybe(context(0));
    const reasons = fields.maybe(context(1, false));
    const crlIssuer = fields.maybe(context(2));
    fields.end("DistributionPoint");
    return {
      name: name ? pointName(name) : null,
      reasons: reasonsOf(reasons),
      crlIssuer: crlIssuer ? generalNamesOf(crlIssuer) : null,
    };
  });

export function issuingPointOf(value: Element): IssuingPoint {
  const fields = cursor(value);
  const name = fields.maybe(context(0));
  const flag = (number: number): boolean => {
    const found = fields.maybe(context(number, false));
    return found ? booleanOf(found) : false;
  };
  const [isForUsers, isForAuthorities] = [flag(1), flag(2)];
  const reasons = fields.maybe(context(3, false));
  const [isIndirect, isForAttributes] = [flag(4), flag(5)];
  fields.end("IssuingDistributionPoint");
  return {
    name: name ? pointName(name) : null,
    isForUsers,
    isForAuthorities,
    isForAttributes,
    reasons: reasonsOf(reasons),
    isIndirect,
  };
}

function pointName(element: Element): PointName {
  const fields = cursor(element);
  const full = fields.maybe(context(0));
  if (full) return { full: generalNamesOf(full) };
  return { relative: rdnOf(fields.take(context(1), "nameRelativeToCRLIssuer")) };
}

function reasonsOf(element: Element | undefined): Reasons {
  if (!element) return allReasons;
  let mask = 0;
  for (let bit = 1; bit <= 8; bit += 1)
    if ((((element.content[1 + (bit >> 3)] ?? 0) >> (7 - (bit & 7))) & 1) === 1) mask |= 1 << bit;
  return mask;
}

/** Keys of a point's names, once it is known below whom a relative one lies. */
export const pointKeys = (name: PointName, issuer: NameKeys): readonly string[] =>
  "full" in name ? name.full.map(({ key }) => key) : [directoryName([...issuer, name.relative]).key];

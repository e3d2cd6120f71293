/** What path validation reads of a certificate's extensions (RFC 5280 4.2.1): policies, constraints, names, where its lists are. */
import { Fault } from "../errors.ts";
import { oids } from "./algorithms.ts";
import type { Extension } from "./certificate.ts";
import { children, context, cursor, type Element, numberOf, oidOf, read, tag } from "./cms/der.ts";
import { type DistributionPoint, distributionPointsOf } from "./distribution-point.ts";
import { type GeneralName, generalNameOf, generalNamesOf } from "./names.ts";

export type PolicyMapping = { readonly issuer: string; readonly subject: string };
export type NameConstraints = { readonly permitted: readonly GeneralName[]; readonly excluded: readonly GeneralName[] };

export type PathExtensions = {
  /** Policy identifiers; null without the extension. */
  readonly policies: readonly string[] | null;
  readonly policyMappings: readonly PolicyMapping[];
  readonly requireExplicitPolicy: number | null;
  readonly inhibitPolicyMapping: number | null;
  readonly inhibitAnyPolicy: number | null;
  readonly nameConstraints: NameConstraints | null;
  readonly altNames: readonly GeneralName[];
  readonly distributionPoints: readonly DistributionPoint[];
};

const maxPolicies = 256;
const invalid = (what: string): Fault => new Fault("CERTIFICATE_INVALID", what);

/** Reads them all; throws for one that is not well formed. */
export function pathExtensionsOf(extensions: readonly Extension[]): PathExtensions {
  const value = (id: string): Element | undefined => {
    const found = extensions.find((each) => each.id === id);
    return found && read(found.value);
  };
  const [policies, mappings, constraints] = [
    value(oids.certificatePolicies),
    value(oids.policyMappings),
    value(oids.policyConstraints),
  ];
  const [inhibit, names, alternatives, points] = [
    value(oids.inhibitAnyPolicy),
    value(oids.nameConstraints),
    value(oids.subjectAltName),
    value(oids.crlDistributionPoints),
  ];
  const limits = constraints && cursor(constraints);
  const explicit = limits?.maybe(context(0, false));
  const mapping = limits?.maybe(context(1, false));
  return {
    policies: policies ? policiesOf(policies) : null,
    policyMappings: mappings ? mappingsOf(mappings) : [],
    requireExplicitPolicy: explicit ? numberOf(explicit) : null,
    inhibitPolicyMapping: mapping ? numberOf(mapping) : null,
    inhibitAnyPolicy: inhibit ? numberOf(inhibit) : null,
    nameConstraints: names ? nameConstraintsOf(names) : null,
    altNames: alternatives ? generalNamesOf(alternatives) : [],
    distributionPoints: points ? distributionPointsOf(points) : [],
  };
}

/** Qualifiers tell people something; they decide nothing (RFC 5280 4.2.1.4). */
function policiesOf(value: Element): readonly string[] {
  const ids = children(value).map((each) => oidOf(cursor(each).take(tag.oid, "policyIdentifier")));
  if (ids.length === 0 || ids.length > maxPolicies || new Set(ids).size !== ids.length)
    throw invalid("no policy, a policy twice, or too many");
  return ids;
}

function mappingsOf(value: Element): readonly PolicyMapping[] {
  const pairs = children(value);
  if (pairs.length > maxPolicies) throw invalid(`more than ${maxPolicies} policy mappings`);
  return pairs.map((each) => {
    const fields = cursor(each);
    const [issuer, subject] = [fields.take(tag.oid, "issuerDomainPolicy"), fields.take(tag.oid, "subjectDomainPolicy")];
    return { issuer: oidOf(issuer), subject: oidOf(subject) };
  });
}

function nameConstraintsOf(value: Element): NameConstraints {
  const fields = cursor(value);
  const [permitted, excluded] = [fields.maybe(context(0)), fields.maybe(context(1))];
  fields.end("NameConstraints");
  return { permitted: subtreesOf(permitted), excluded: subtreesOf(excluded) };
}

/** RFC 5280 4.2.1.10: minimum is zero, so absent in DER, and there is no maximum. */
const subtreesOf = (list: Element | undefined): readonly GeneralName[] =>
  (list ? children(list) : []).map((subtree) => {
    const [base, ...bounds] = children(subtree);
    if (!base || bounds.length > 0) throw invalid("a name constraint with bounds");
    return generalNameOf(base);
  });

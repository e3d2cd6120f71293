/**
 * Certificate policies (RFC 5280 6.1.2 to 6.1.5) over a graph instead of a tree (RFC 9618 5), so that mappings cannot make it grow
 * without bound: one node a policy and depth.
 */
import { Fault } from "../errors.ts";
import type { Certificate } from "./certificate.ts";

export const anyPolicy = "2.5.29.32.0";

/** RFC 5280 6.1.1 (c), (e) to (g): what the relying party asks for. */
export type PolicySettings = {
  /** Acceptable policies; without them, any. */
  readonly acceptable?: readonly string[];
  readonly requireExplicit?: boolean;
  readonly inhibitMapping?: boolean;
  readonly inhibitAny?: boolean;
};

type Node = { expected: ReadonlySet<string>; parents: Set<Node>; readonly policy: string; readonly depth: number };
type Level = Map<string, Node>;

export type PolicyCheck = {
  /** The next certificate of a path, from the anchor's child down. */
  take(certificate: Certificate, isSelfIssued: boolean, isLast: boolean): void;
  /** After the last one: throws when no acceptable policy holds where one must. */
  end(): void;
};

/** Follows the policies along a path of `length` certificates below the anchor. */
export function policyCheck(length: number, settings: PolicySettings = {}): PolicyCheck {
  const root: Node = { policy: anyPolicy, expected: new Set([anyPolicy]), parents: new Set(), depth: 0 };
  let levels: Level[] | null = [new Map([[anyPolicy, root]])];
  let explicit = settings.requireExplicit ? 0 : length + 1;
  let mapping = settings.inhibitMapping ? 0 : length + 1;
  let inhibit = settings.inhibitAny ? 0 : length + 1;

  const refuseIfNone = (whose: string): void => {
    if (explicit === 0 && levels === null)
      throw new Fault("CERTIFICATE_INVALID", `no policy is valid for the path down to ${whose}, and one is required`);
  };
  return {
    take: (certificate, isSelfIssued, isLast) => {
      const { policies, policyMappings: mappings, subjectText } = certificate;
      // 6.1.3 (d) and (e)
      levels =
        levels &&
        policies &&
        pruned([...levels, nextLevel(levels, policies, inhibit > 0 || (!isLast && isSelfIssued))]);
      refuseIfNone(subjectText); // (f)
      if (isLast) {
        // 6.1.5 (a) and (b)
        if (explicit > 0) explicit -= 1;
        if (certificate.requireExplicitPolicy === 0) explicit = 0;
        return;
      }
      // 6.1.4 (a) and (b)
      if (mappings.some(({ issuer, subject }) => issuer === anyPolicy || subject === anyPolicy))
        throw new Fault("CERTIFICATE_INVALID", `${subjectText} maps from or to anyPolicy`);
      if (levels && mappings.length > 0) levels = mapped(levels, groups(mappings), mapping > 0);
      // 6.1.4 (h) to (j)
      if (!isSelfIssued) [explicit, mapping, inhibit] = [less(explicit), less(mapping), less(inhibit)];
      explicit = Math.min(explicit, certificate.requireExplicitPolicy ?? explicit);
      mapping = Math.min(mapping, certificate.inhibitPolicyMapping ?? mapping);
      inhibit = Math.min(inhibit, certificate.inhibitAnyPolicy ?? inhibit);
    },
    end: () => {
      if (explicit === 0 && !isAcceptable(levels, settings.acceptable ?? [anyPolicy]))
        throw new Fault("CERTIFICATE_INVALID", "the path holds under no acceptable policy, and one is required");
    },
  };
}

const less = (count: number): number => Math.max(0, count - 1);

/** 6.1.3 (d) (1) and (2). */
function nextLevel(levels: readonly Level[], policies: readonly string[], isAnyTaken: boolean): Level {
  const depth = levels.length;
  const above = levels[depth - 1] ?? new Map<string, Node>();
  const byExpected = new Map<string, Set<Node>>();
  for (const node of above.values())
    for (const policy of node.expected) byExpected.set(policy, (byExpected.get(policy) ?? new Set()).add(node));
  const level: Level = new Map();
  const add = (policy: string, parents: Set<Node>): void =>
    void level.set(policy, { policy, expected: new Set([policy]), parents, depth });
  const any = above.get(anyPolicy);
  for (const policy of policies.filter((each) => each !== anyPolicy)) {
    const parents = byExpected.get(policy) ?? (any ? new Set([any]) : undefined);
    if (parents) add(policy, parents);
  }
  if (policies.includes(anyPolicy) && isAnyTaken)
    for (const [policy, parents] of byExpected) if (!level.has(policy)) add(policy, parents);
  return level;
}

/** Nodes without children go, level by level upwards; null when nothing is left at the bottom. */
function pruned(levels: Level[]): Level[] | null {
  for (let depth = levels.length - 2; depth >= 0; depth -= 1) {
    const used = new Set([...(levels[depth + 1]?.values() ?? [])].flatMap(({ parents }) => [...parents]));
    for (const [policy, node] of levels[depth] ?? []) if (!used.has(node)) levels[depth]?.delete(policy);
  }
  return (levels.at(-1)?.size ?? 0) > 0 ? levels : null;
}

function groups(mappings: Certificate["policyMappings"]): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  for (const { issuer, subject } of mappings) found.set(issuer, (found.get(issuer) ?? new Set()).add(subject));
  return found;
}

/** 6.1.4 (b): the issuer's policies go on under the subject's names, or not at all where mapping is inhibited. */
function mapped(
  levels: Level[],
  groupsOf: ReadonlyMap<string, ReadonlySet<string>>,
  isAllowed: boolean,
): Level[] | null {
  const level = levels.at(-1) ?? new Map<string, Node>();
  for (const [policy, subjects] of groupsOf) {
    const node = level.get(policy);
    const any = level.get(anyPolicy);
    if (!isAllowed) level.delete(policy);
    else if (node) node.expected = subjects;
    else if (any)
      level.set(policy, { policy, expected: subjects, parents: new Set(any.parents), depth: levels.length - 1 });
  }
  return pruned(levels);
}

/** 6.1.5 (g): a policy counts where the authorities first name it, right below anyPolicy. */
function isAcceptable(levels: readonly Level[] | null, acceptable: readonly string[]): boolean {
  if (!levels) return false;
  if (acceptable.includes(anyPolicy) || levels.at(-1)?.has(anyPolicy)) return true;
  return levels.some((level) =>
    [...level.values()].some(
      ({ policy, parents }) => acceptable.includes(policy) && [...parents].some((each) => each.policy === anyPolicy),
    ),
  );
}

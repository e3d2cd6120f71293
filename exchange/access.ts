/**
 * Who is told of an entry: by house, form and purpose of use as the registry's rules say, and by the patient's consent. In an
 * emergency (HL7 ActReason ETREAT) consent does not count; whoever says so gives a reason, and it is in the audit log as one.
 */
import { Fault } from "../errors.ts";
import type { Command } from "../formats/command.ts";
import type { PurposeOfUse, Query } from "../formats/query.ts";
import type { EntryRow, Id, Store, Token } from "../store/store.ts";
import { samePatients, tokenOf } from "./patients.ts";
import { entryOf } from "./query-filters.ts";

/** What houses may ask for; what is left out is all. */
export type AccessRule = {
  readonly orgs?: readonly string[] | undefined;
  readonly forms?: readonly string[] | undefined;
  readonly purposes: readonly PurposeOfUse[];
};

/** What a consent says, sealed. */
export type ConsentFacts = Pick<Extract<Command<"change">, { action: "consent" }>, "decision" | "orgs" | "forms">;

/** The purpose of use for which consent does not count (HL7 ActReason). */
export const emergency: PurposeOfUse = "ETREAT";

/** Whether a house is told of an entry; NOT_PERMITTED when it may not ask for this purpose at all. */
export function accessOf(
  store: Store,
  rules: readonly AccessRule[],
  org: string,
  { purposeOfUse, reason }: Pick<Query, "purposeOfUse" | "reason">,
): (row: EntryRow) => boolean {
  if (purposeOfUse === emergency && !reason)
    throw new Fault("QUERY_INVALID", "who asks in an emergency says why; add a reason");
  const own = rules.filter((rule) => includes(rule.orgs, org) && rule.purposes.includes(purposeOfUse));
  if (own.length === 0) throw new Fault("NOT_PERMITTED", `the registry does not answer this house for ${purposeOfUse}`);
  const isWithheld = consents(store, org);
  return (row) =>
    row.org === org ||
    (own.some(({ forms }) => includes(forms, row.form)) && (purposeOfUse === emergency || !isWithheld(row)));
}

const includes = (list: readonly string[] | undefined, value: string): boolean => list?.includes(value) ?? true;

/** The last consent that speaks of the house and the form decides; without one an entry is shared. */
function consents(store: Store, org: string): (row: EntryRow) => boolean {
  const same = samePatients(store);
  const known = new Map<string, readonly ConsentFacts[]>();
  const said = (tokens: readonly Token[]): readonly ConsentFacts[] => {
    const patient = tokens.join();
    const before = known.get(patient) ?? store.consents.of(tokens).map(({ facts }) => facts as ConsentFacts);
    known.set(patient, before);
    return before;
  };
  return (row) => {
    const patients = new Set(entryOf(row).patientIds.map((id) => same(tokenOf(store, id))));
    // Of several patients in one entry those count who have said anything: all of that is in one order.
    const speaking = [...patients].filter((tokens) => said(tokens).length > 0);
    const all = said(speaking.flat());
    return all.findLast((each) => includes(each.orgs, org) && includes(each.forms, row.form))?.decision === "withhold";
  };
}

/** Statements of one patient of which each decides something. One of all houses and forms ends all before it, and always has a place. */
const maxConsents = 256;

/** Which earlier ones of an id a new one ends, and those that others had ended before; TOO_LARGE when too many are left. */
export function endedBy(store: Store, patient: Token, facts: ConsentFacts): readonly Id[] {
  const [standing, ended]: [ConsentFacts[], Id[]] = [[facts], []];
  for (const each of store.consents.of([patient]).toReversed()) {
    const earlier = each.facts as ConsentFacts;
    if (standing.some((later) => covers(later.orgs, earlier.orgs) && covers(later.forms, earlier.forms)))
      ended.push(each.id);
    else if (standing.push(earlier) > maxConsents)
      throw new Fault(
        "TOO_LARGE",
        `a patient has ${maxConsents} consents that each decide something; tell one of all houses and forms, then what differs`,
      );
  }
  return ended;
}

/** A list that is left out is of all. */
const covers = (later: readonly string[] | undefined, earlier: readonly string[] | undefined): boolean =>
  later === undefined || (earlier?.every((each) => later.includes(each)) ?? false);

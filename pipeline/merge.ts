/**
 * Merges of patients (ADT^A40, A34, A18): two ids of this house are of one patient from now on. What waits is looked at again,
 * what is delivered later is the surviving patient's, and the registry is told where this house gives the ids. Nothing that was
 * sealed changes; all of it is committed with the acknowledgement.
 */
import { hash } from "node:crypto";
import { type PatientId, writeCommand } from "../formats/command.ts";
import { mergesIn } from "../formats/hl7-merge.ts";
import { admittedPatient } from "../formats/hl7-patient.ts";
import type { AuditedPatient, Change, Delivery, Id, Item, Store, Token } from "../store/store.ts";
import { anotherPatient } from "./assemble.ts";
import { idText, ownerOf, patientIdsOf } from "./identifiers.ts";
import type { Admission, IdentifyPayload } from "./patient.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";
import type { SpooledMessage } from "./verdicts.ts";

export type Merge = { readonly prior: PatientId; readonly surviving: PatientId };
/** What an alias row says of itself, sealed: the ids, and the patient as the merge names them. */
export type MergeFacts = Merge & { readonly admission: Admission };
/** What the registry is told, sealed in its delivery. */
type MergePayload = { readonly merges: readonly Merge[]; readonly arrival: Id; readonly isUndone?: boolean };

export type Merged = {
  readonly code: "MERGED" | "MERGED_HERE" | "UNMERGED" | "UNMERGED_HERE" | "MERGE_NOT_COMPARABLE";
  readonly changes: readonly Change[];
  /** What waits for its study, or was held for naming another patient: it is looked at again after the commit. */
  readonly looked: readonly Item[];
};

const maxLooked = 10_000;
/** Ids in one command to the registry. */
export const maxMergesTold = 64;

/** What a merge changes here and what the registry is told; nothing where no two of its ids are under one root. */
export function merge(site: Site, message: SpooledMessage): Merged {
  const { store, config, now } = site;
  const { merges, admission } = comparable(site, message);
  if (merges.length === 0) return { code: "MERGE_NOT_COMPARABLE", changes: [], looked: [] };
  const at = now().toISOString();
  const told = merges.filter(({ prior }) => ownerOf(config, prior.root) === config.site).slice(0, maxMergesTold);
  const looked = affected(site, merges);
  const released = looked.filter(({ state }) => state === "held");
  const changes = [
    ...merges.flatMap((each) =>
      [true, false].flatMap((isRooted) =>
        store.merges.add({
          prior: tokenOf(store, each.prior, isRooted),
          surviving: tokenOf(store, each.surviving, isRooted),
          at,
          facts: { ...each, admission } satisfies MergeFacts,
        }),
      ),
    ),
    ...released.flatMap(({ id }) => [
      store.items.mark(id, { state: "waiting", code: null, reason: null, since: at }),
      step(site, id, "assemble", "merged"),
    ]),
    ...identifiedAgain(site, merges),
    ...tellMerges(site, { merges: told, arrival: message.id }),
    step(site, message.id, "source", "merged", { detail: `${merges.length} ids, ${looked.length} documents wait` }),
  ];
  return {
    code: told.length > 0 ? "MERGED" : "MERGED_HERE",
    changes,
    looked: looked.map((item) => ({ ...item, state: "waiting" })),
  };
}

/** The registry is told, one merge behind the other: one that is taken back, and comes again, is as the last one says. */
export const tellMerges = (site: Site, payload: MergePayload): readonly Change[] => {
  const { store, config } = site;
  if (payload.merges.length === 0) return [];
  const order = store.tokens.of("patient", "merge", "");
  return [store.deliveries.add({ ...newDelivery(site, "change", "", config.registryPartner), order, payload })];
};

/** Pairs of different ids under one root; the patient is the last one that survives. */
function comparable(
  { config }: Site,
  { bytes, facts }: SpooledMessage,
): { readonly merges: readonly Merge[]; readonly admission: Admission } {
  const groups = mergesIn(bytes, facts).map(({ surviving, prior }) => ({
    ids: patientIdsOf(config, surviving).ids,
    merges: patientIdsOf(config, prior).ids.flatMap((old): Merge[] => {
      const same = patientIdsOf(config, surviving).ids.filter(({ root }) => root === old.root);
      const [first] = same;
      return first && !same.some(({ extension }) => extension === old.extension) && old.extension !== ""
        ? [{ prior: old, surviving: first }]
        : [];
    }),
  }));
  return {
    merges: groups.flatMap((group) => group.merges),
    admission: { ids: groups.at(-1)?.ids ?? [], patient: admittedPatient(bytes, facts) },
  };
}

/** Documents and their studies compare numbers without who gave them; the registry and admissions with. */
export const tokenOf = ({ tokens }: Store, { root, extension }: PatientId, isRooted: boolean): Token =>
  tokens.of("patient", isRooted ? root : "", extension);

/** Documents of these patients that wait, or were held because their study names the other id. */
export function affected({ store }: Site, merges: readonly Merge[]): readonly Item[] {
  const tokens = merges.flatMap(({ prior, surviving }) => [prior, surviving]).map((id) => tokenOf(store, id, false));
  const patients = new Set(store.merges.same(tokens));
  return (["waiting", "held"] as const)
    .flatMap((state) => store.items.list({ state, kind: "document", limit: maxLooked }))
    .filter((item) => item.patients.some((token) => patients.has(token)))
    .filter(({ state, reason }) => state === "waiting" || reason === anotherPatient.reason);
}

/** Records in doubt about an admission of one of these patients are compared again. */
function identifiedAgain(site: Site, merges: readonly Merge[]): readonly Change[] {
  const { store, now } = site;
  const ids = new Set(merges.flatMap(({ prior, surviving }) => [prior, surviving]).map(idText));
  return store.deliveries.parked("identify", maxLooked).flatMap(({ id, record, payload }) => {
    const { admission } = payload as IdentifyPayload;
    if (!admission?.ids.some((each) => ids.has(idText(each)))) return [];
    return [
      store.deliveries.mark(id, { state: "queued", due: now().getTime(), code: null, reason: null }),
      step(site, record ?? id, "deliver", "merged"),
    ];
  });
}

/** Whether the ids of a message and of a document are of one patient by a merge. */
export function areMerged(store: Store, one: readonly PatientId[], other: readonly PatientId[]): boolean {
  const same = new Set(store.merges.same(one.map((id) => tokenOf(store, id, true))));
  return other.some((id) => same.has(tokenOf(store, id, true)));
}

/** The patient of an admission as they are called now: as the newest merge of one of their ids names them. */
export function currently({ store }: Site, admission: Admission): Admission {
  const newest = store.merges.of(admission.ids.map((id) => tokenOf(store, id, true))).at(-1);
  if (!newest) return admission;
  const { ids, patient } = (newest.facts as MergeFacts).admission;
  // The visit is the one that was admitted.
  const { patientClass, visitNumber } = admission.patient.written;
  return {
    ids: [...admission.ids, ...ids],
    patient: {
      ...patient,
      written: { ...patient.written, patientClass, visitNumber },
      accessionNumber: admission.patient.accessionNumber,
    },
  };
}

/** Whether a `change` delivery tells of a merge, or that it is taken back. */
export const isMerging = ({ payload }: Delivery): boolean =>
  (payload as Partial<MergePayload> | null)?.merges !== undefined;

/** What a `change` delivery tells of merges but for those of ids that are forgotten, null where none is left; undefined where it tells of no such one. */
export function withoutMerges(delivery: Delivery, isForgotten: (id: PatientId) => boolean): unknown {
  if (!isMerging(delivery)) return undefined;
  const payload = delivery.payload as MergePayload;
  const merges = payload.merges.filter(({ prior, surviving }) => !isForgotten(prior) && !isForgotten(surviving));
  if (merges.length === payload.merges.length) return undefined;
  return merges.length > 0 ? { ...payload, merges } : null;
}

/** What the registry is told: a search for one of the ids finds what is registered under the other. */
export function toldOfMerge({ payload }: Delivery): ToldChange {
  const { merges, arrival, isUndone = false } = payload as MergePayload;
  const action = isUndone ? "unmerge" : "merge";
  const command = writeCommand<"change">({ command: "change", action, merges: [...merges] });
  return { command, named: hash("sha256", command), event: `${action}d`, subject: arrival };
}

/** A `change` command as octets, what its receipt has to name, and the step that tells of it. */
export type ToldChange = {
  readonly command: Uint8Array;
  readonly named: string;
  readonly event: string;
  readonly subject?: Id;
  readonly audit?: { readonly patients: readonly AuditedPatient[] };
};

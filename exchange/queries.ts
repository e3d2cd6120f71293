/**
 * The stored queries (ITI TF-2 3.18.4.1.2.3.7). A first page fixes the moment that all its pages are of; its cursor carries that
 * moment and the last row, sealed to who asked and what, so that the union of pages is what was there, whatever comes meanwhile.
 */
import { createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import { documentEntrySchema } from "../formats/document-entry.ts";
import type { Found, PatientId, Query, QueryOf, Registered } from "../formats/query.ts";
import type { EntryRow, Slice, Store, SubmissionRow, Token } from "../store/store.ts";
import { type MergedIds, tokenOf } from "./patients.ts";
import { entryOf, isOneOf, isWithin, passes } from "./query-filters.ts";

/** Rows that are looked at for one page; one that few of them are for ends there, and goes on with its cursor. */
const maxLooked = 5_000;
const minChunk = 50;
/** Entries of one set. */
const maxSubmitted = 200;
/** As many ids as an entry may have. */
const maxIds = 512;

/** Where a page begins: what had been registered and changed by a moment, from below a row. */
type Place = { readonly moment: number; readonly below?: number };
/** Whether who asks is told of an entry (`accessOf`). */
type May = (row: EntryRow) => boolean;
type Asking = Place & { readonly may: May };

/** A page of an answer; CURSOR_INVALID for a cursor of another organisation, another question, or nobody's. */
export function answerQuery(store: Store, org: string, query: Query, may: May = all): Found {
  const bound = `${org}\0${questionOf(query)}`;
  const place = placeOf(store, bound, query.cursor);
  const { below, ...found } = answers[query.query](
    store,
    { ...place, may: (row) => !row.isRemoved && may(row) },
    query as never,
  );
  const next = below === undefined ? null : store.cursors.seal(bound, { moment: place.moment, below });
  return { command: "found", submissionSets: [], entries: [], associations: [], ...found, next };
}

/** The question without its page. */
function questionOf({ cursor: _cursor, limit: _limit, ...question }: Query): string {
  return createHash("sha256").update(JSON.stringify(question)).digest("hex");
}

function placeOf(store: Store, bound: string, cursor: string | undefined): Place {
  if (cursor === undefined) return { moment: store.entries.moment() };
  const place = store.cursors.open(bound, cursor) as Place | undefined;
  if (place) return place;
  throw new Fault("CURSOR_INVALID", "this cursor belongs to another question or house, or to none; begin anew");
}

type Page = Partial<Omit<Found, "command" | "next">> & { readonly below?: number | undefined };
type Answers = { readonly [Q in Query["query"]]: (store: Store, place: Asking, query: QueryOf<Q>) => Page };

const answers: Answers = {
  findDocuments: (store, place, query) => {
    const patients = patientsOf(store, place, query.patientIds);
    const keep = passes(query);
    const { rows, below } = entriesPage(place, query, keep, (slice) => store.entries.find("patient", patients, slice));
    return { entries: rows.map((row) => registered(store, row)), below };
  },
  findDocumentsByReferenceId: (store, place, query) => {
    const isOfPatient = ofPatients(store, patientsOf(store, place, query.patientIds));
    const references = query.referenceIds.map((id) => store.tokens.of("reference", "", id));
    const keep = passes(query);
    const { rows, below } = entriesPage(
      place,
      query,
      (row: EntryRow) => isOfPatient(row) && keep(row),
      (slice) => store.entries.find("reference", references, slice),
    );
    return { entries: rows.map((row) => registered(store, row)), below };
  },
  getDocuments: (store, place, query) => {
    const keys = query.uniqueIds.map((id) => documentKey(store, id));
    const { rows, below } = entriesPage(place, query, all, (slice) => store.entries.find("document", keys, slice));
    return { entries: rows.map((row) => registered(store, row)), below };
  },
  getAssociations: (store, place, query) => {
    const named = new Set(query.uniqueIds);
    const { rows, below } = entriesPage(place, query, all, around(store, query.uniqueIds));
    const associations = rows
      .flatMap(associationsOf)
      .filter(({ type, source, target }) =>
        type === "HasMember" ? named.has(target) : named.has(source) || named.has(target),
      );
    return { associations, below };
  },
  getRelatedDocuments: (store, place, query) => {
    const isAsked = ({ type }: Association): boolean =>
      type !== "HasMember" && (!query.types || query.types.includes(type));
    const [own] = store.entries.find("document", [documentKey(store, query.uniqueId)], { ...place, limit: 1 });
    const targets = own && place.may(own) ? associationsOf(own).filter(isAsked) : [];
    const keep = (row: EntryRow): boolean =>
      row.id === own?.id ||
      targets.some(({ target }) => target === entryOf(row).uniqueId) ||
      associationsOf(row).some((each) => isAsked(each) && each.target === query.uniqueId);
    const ids = [query.uniqueId, ...targets.map(({ target }) => target)];
    const { rows, below } = entriesPage(place, query, keep, around(store, ids));
    const associations = rows
      .flatMap(associationsOf)
      .filter((each) => isAsked(each) && [each.source, each.target].includes(query.uniqueId));
    return { entries: rows.map((row) => registered(store, row)), associations, below };
  },
  findSubmissionSets: (store, place, query) => {
    const patients = patientsOf(store, place, query.patientIds);
    const isOfPatient = ofPatients(store, patients);
    // What else is in a set is of others: that it may be seen tells nothing of these.
    const keep = ({ id, org, createdAt }: SubmissionRow): boolean =>
      isOneOf(query.org, [org]) &&
      isWithin(query.submissionTime, Date.parse(createdAt)) &&
      store.entries
        .contents(id, { moment: place.moment, limit: maxSubmitted })
        .some((row) => place.may(row) && isOfPatient(row));
    const { rows, below } = page(place, query, keep, (slice) => store.entries.submissions(patients, slice));
    return { submissionSets: rows.map(submissionSet), below };
  },
  getSubmissionSetAndContents: (store, place, query) => {
    const set = store.entries.submission(query.id);
    if (!set || set.seq > place.moment) return {};
    const { rows, below } = entriesPage(place, query, all, (slice) => store.entries.contents(set.id, slice));
    if (rows.length === 0) return { below };
    const entries = rows.map((row) => registered(store, row));
    return { submissionSets: [submissionSet(set)], entries, associations: rows.flatMap(associationsOf), below };
  },
};

/** Rows from a place on, as many as a page takes and one to know whether there are more. */
function page<T extends { readonly seq: number }>(
  { moment, below }: Place,
  { limit }: Pick<Query, "limit">,
  keep: (row: T) => boolean,
  read: (slice: Slice) => readonly T[],
): { readonly rows: readonly T[]; readonly below: number | undefined } {
  const chunk = Math.max(limit + 1, minChunk);
  const kept: T[] = [];
  let last = below;
  for (let looked = 0; kept.length <= limit && looked < maxLooked; looked += chunk) {
    const rows = read({ moment, below: last, limit: chunk });
    kept.push(...rows.filter(keep));
    if (rows.length < chunk && kept.length <= limit) return { rows: kept, below: undefined };
    last = rows.at(-1)?.seq ?? last;
  }
  const rows = kept.slice(0, limit);
  return { rows, below: kept.length > limit ? rows.at(-1)?.seq : last };
}

/** Of those that who asks is told of. */
const entriesPage = (
  place: Asking,
  query: Pick<Query, "limit">,
  keep: May,
  read: (slice: Slice) => readonly EntryRow[],
): ReturnType<typeof page<EntryRow>> =>
  page(place, query, (row: EntryRow) => !row.isRemoved && keep(row) && place.may(row), read);

const all = (): boolean => true;

const documentKey = (store: Store, uniqueId: string): Token => store.tokens.of("document", "", uniqueId);

/** Ids and all that were merged with them by then. */
const patientsOf = (store: Store, { moment }: Place, ids: readonly PatientId[]): readonly Token[] =>
  store.merges.same(
    ids.map((id) => tokenOf(store, id)),
    moment,
  );

/** Whether an entry is of one of these patients. */
function ofPatients(store: Store, tokens: readonly Token[]): (row: EntryRow) => boolean {
  const patients = new Set(tokens);
  return (row) => entryOf(row).patientIds.some((id) => patients.has(tokenOf(store, id)));
}

/** Documents of these ids, and those that name one of them. */
const around =
  (store: Store, uniqueIds: readonly string[]) =>
  (slice: Slice): readonly EntryRow[] => {
    const keys = uniqueIds.map((id) => documentKey(store, id));
    const rows = [...store.entries.find("document", keys, slice), ...store.entries.find("related", keys, slice)];
    const bySeq = [...new Map(rows.map((row) => [row.seq, row])).values()];
    return bySeq.sort((one, other) => other.seq - one.seq).slice(0, slice.limit);
  };

type Association = Found["associations"][number];

/** What an entry is of: its set, and the documents that it replaces, appends or transforms. */
function associationsOf(row: EntryRow): readonly Association[] {
  const { uniqueId, relatedDocuments } = entryOf(row);
  return [
    ...(row.submission ? [{ type: "HasMember" as const, source: row.submission, target: uniqueId }] : []),
    ...relatedDocuments.map(({ type, uniqueId: target }) => ({ type, source: uniqueId, target })),
  ];
}

const submissionSet = ({ id, org, name, createdAt }: SubmissionRow): Found["submissionSets"][number] => ({
  id,
  org,
  name,
  submittedAt: createdAt,
});

/** An entry as it was registered, with what became of it and every other id that its patient has or had. */
function registered(store: Store, { id, org, createdAt, manifestSha256, status, entry: kept }: EntryRow): Registered {
  const entry = documentEntrySchema.parse(kept);
  const others = store.merges.of(entry.patientIds.map((each) => tokenOf(store, each))).flatMap(({ facts }) => {
    const { prior, surviving } = facts as MergedIds;
    return [prior, surviving];
  });
  const known = [...entry.patientIds, ...others].map((each) => [`${each.root}^${each.extension}`, each] as const);
  const patientIds = [...new Map(known).values()].slice(0, maxIds);
  return {
    id,
    org,
    registeredAt: createdAt,
    manifestSha256,
    entry: { ...entry, patientIds, availabilityStatus: status },
  };
}

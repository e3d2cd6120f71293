/**
 * The stored queries (ITI TF-2 3.18.4.1.2.3.7). A first page fixes the moment that all its pages are of; its cursor carries that
 * moment and the last row, sealed to who asked and what, so that the union of pages is what was there, whatever comes meanwhile.
 */
import { hash } from "node:crypto";
import { Fault } from "../errors.ts";
import { maxCommandBytes } from "../formats/command.ts";
import type { Found, PatientId, Query, QueryOf, Registered } from "../formats/query.ts";
import type { EntryRow, Slice, Store, SubmissionRow, Token } from "../store/store.ts";
import { tokenOf } from "./patients.ts";
import { entryOf, isOneOf, isWithin, passes } from "./query-filters.ts";
import { keyOf } from "./submission.ts";
import { telling } from "./told.ts";

/** Rows that are looked at for one page, those within its rows too; one that few of them are for ends there, and goes on with its cursor. */
const maxLooked = 5_000;
/** Rows that are read at once. */
const [minChunk, maxChunk] = [50, 128];
/** Octets of what one page tells, whatever the entries say: half of what a command may have. */
const maxPageBytes = maxCommandBytes / 2;
/** Entries of one set. */
const maxSubmitted = 200;
/** Entries of a set that are opened at once, until one of them may be seen: the first as a rule. */
const submittedChunk = 10;

/** Where a page begins: what had been registered and changed by a moment, from below a row. */
type Place = { readonly moment: number; readonly below?: number };
/** Whether who asks is told of an entry (`accessOf`). */
type May = (row: EntryRow) => boolean;
type Asking = Place & { readonly may: May; readonly tell: (row: EntryRow) => Registered };

/** A page of an answer; CURSOR_INVALID for a cursor of another organisation, another question, or nobody's. */
export function answerQuery(store: Store, org: string, query: Query, may: May = all): Found {
  const bound = `${org}\0${questionOf(query)}`;
  const place = placeOf(store, bound, query.cursor);
  const { below, ...found } = answers[query.query](
    store,
    { ...place, may: (row) => !row.isRemoved && may(row), tell: telling(store) },
    query as never,
  );
  const next = below === undefined ? null : store.cursors.seal(bound, { moment: place.moment, below });
  return { command: "found", submissionSets: [], entries: [], associations: [], ...found, next };
}

/** The question without its page. */
function questionOf({ cursor: _cursor, limit: _limit, ...question }: Query): string {
  return hash("sha256", JSON.stringify(question));
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
    const read = (slice: Slice) => store.entries.find("patient", patients, slice);
    const { told, below } = entriesPage(place, query, keep, read, place.tell);
    return { entries: told, below };
  },
  findDocumentsByReferenceId: (store, place, query) => {
    const isOfPatient = ofPatients(store, patientsOf(store, place, query.patientIds));
    const references = query.referenceIds.map((id) => store.tokens.of("reference", "", id));
    const keep = passes(query);
    const { told, below } = entriesPage(
      place,
      query,
      (row: EntryRow) => isOfPatient(row) && keep(row),
      (slice) => store.entries.find("reference", references, slice),
      place.tell,
    );
    return { entries: told, below };
  },
  getDocuments: (store, place, query) => {
    const keys = query.uniqueIds.map((id) => keyOf(store, id));
    const read = (slice: Slice) => store.entries.find("document", keys, slice);
    const { told, below } = entriesPage(place, query, all, read, place.tell);
    return { entries: told, below };
  },
  getAssociations: (store, place, query) => {
    const named = new Set(query.uniqueIds);
    const isAsked = ({ type, source, target }: Association): boolean =>
      type === "HasMember" ? named.has(target) : named.has(source) || named.has(target);
    const { told, below } = entriesPage(place, query, all, around(store, query.uniqueIds), (row) =>
      associationsOf(row).filter(isAsked),
    );
    return { associations: told.flat(), below };
  },
  getRelatedDocuments: (store, place, query) => {
    const isAsked = ({ type }: Association): boolean =>
      type !== "HasMember" && (!query.types || query.types.includes(type));
    const own = store.entries.byKey(keyOf(store, query.uniqueId)).filter(({ seq }) => seq <= place.moment);
    const targets = own.filter(place.may).flatMap(associationsOf).filter(isAsked);
    const keep = (row: EntryRow): boolean =>
      own.some(({ id }) => row.id === id) ||
      targets.some(({ target }) => target === entryOf(row).uniqueId) ||
      associationsOf(row).some((each) => isAsked(each) && each.target === query.uniqueId);
    const ids = [query.uniqueId, ...targets.map(({ target }) => target)];
    const isOfIt = (each: Association): boolean => isAsked(each) && [each.source, each.target].includes(query.uniqueId);
    const { told, below } = entriesPage(place, query, keep, around(store, ids), (row) => ({
      entry: place.tell(row),
      associations: associationsOf(row).filter(isOfIt),
    }));
    return { ...apart(told), below };
  },
  findSubmissionSets: (store, place, query) => {
    const patients = patientsOf(store, place, query.patientIds);
    const isOfPatient = ofPatients(store, patients);
    // What else is in a set is of others: that it may be seen tells nothing of these.
    let opened = 0;
    const isSeen = (id: string, below?: number, left = maxSubmitted): boolean => {
      const rows = store.entries.contents(id, { moment: place.moment, below, limit: Math.min(left, submittedChunk) });
      opened += rows.length;
      if (rows.some((row) => place.may(row) && isOfPatient(row))) return true;
      return rows.length === submittedChunk && isSeen(id, rows.at(-1)?.seq, left - submittedChunk);
    };
    const keep = ({ id, org, createdAt }: SubmissionRow): boolean =>
      isOneOf(query.org, [org]) && isWithin(query.submissionTime, Date.parse(createdAt)) && isSeen(id);
    const read = (slice: Slice) => store.entries.submissions(patients, slice);
    const { told, below } = page(place, query, keep, read, submissionSet, () => opened);
    return { submissionSets: told, below };
  },
  getSubmissionSetAndContents: (store, place, query) => {
    const set = store.entries.submission(query.id);
    if (!set || set.seq > place.moment) return {};
    const read = (slice: Slice) => store.entries.contents(set.id, slice);
    const { told, below } = entriesPage(place, query, all, read, (row) => ({
      entry: place.tell(row),
      associations: associationsOf(row),
    }));
    return told.length === 0 ? { below } : { submissionSets: [submissionSet(set)], ...apart(told), below };
  },
};

type Told<T> = { readonly told: T[]; readonly below: number | undefined };

/** What rows from a place on tell: as many as a page takes, in `limit` and in octets, and one looked at to know whether there are more. */
function page<Row extends { readonly seq: number }, T>(
  { moment, below }: Place,
  { limit }: Pick<Query, "limit">,
  keep: (row: Row) => boolean,
  read: (slice: Slice) => readonly Row[],
  tell: (row: Row) => T,
  opened = (): number => 0,
): Told<T> {
  const chunk = Math.min(Math.max(limit + 1, minChunk), maxChunk);
  const told: T[] = [];
  let [last, bytes] = [below, 0];
  for (let looked = 0; looked < maxLooked; looked += chunk) {
    const rows = read({ moment, below: last, limit: chunk });
    for (const row of rows) {
      if (keep(row)) {
        if (told.length === limit) return { told, below: last };
        const next = tell(row);
        bytes += Buffer.byteLength(JSON.stringify(next));
        if (bytes > maxPageBytes && told.length > 0) return { told, below: last };
        told.push(next);
      }
      last = row.seq;
      if (opened() >= maxLooked) return { told, below: last };
    }
    if (rows.length < chunk) return { told, below: undefined };
  }
  return { told, below: last };
}

/** Of those that who asks is told of. */
const entriesPage = <T>(
  place: Asking,
  query: Pick<Query, "limit">,
  keep: May,
  read: (slice: Slice) => readonly EntryRow[],
  tell: (row: EntryRow) => T,
): Told<T> => page(place, query, (row: EntryRow) => !row.isRemoved && keep(row) && place.may(row), read, tell);

const apart = (
  told: readonly { readonly entry: Registered; readonly associations: readonly Association[] }[],
): Pick<Found, "entries" | "associations"> => ({
  entries: told.map(({ entry }) => entry),
  associations: told.flatMap(({ associations }) => associations),
});

const all = (): boolean => true;

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
    const keys = uniqueIds.map((id) => keyOf(store, id));
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

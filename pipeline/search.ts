/** Search of the journal by what a person has in hand: control id, patient, accession number, envelope, time or state. */
import { Fault } from "../errors.ts";
import { firstId } from "../store/rows.ts";
import type { SearchLine, Way } from "../store/search.ts";
import type { ArrivalState, Id, Store, Token } from "../store/store.ts";

export const searchedStates = ["accepted", "done", "filtered", "refused"] as const satisfies readonly ArrivalState[];

/** Numbers as they are written, not tokens; they are never kept nor logged. Times in ISO 8601. */
export type Searched = {
  readonly controlId?: string | undefined;
  readonly patient?: string | undefined;
  readonly accession?: string | undefined;
  /** Id of a record: the envelope's `message`. */
  readonly envelope?: Id | undefined;
  readonly state?: ArrivalState | undefined;
  readonly from?: string | undefined;
  readonly until?: string | undefined;
  /** `next` of the page before. */
  readonly after?: Id | undefined;
  readonly limit: number;
};
export type SearchPage = { readonly found: readonly SearchLine[]; readonly next: Id | null };

/** Rows looked at for one page, where conditions are put together and one of them is rare. */
const maxLooked = 1_000;
const lastId: Id = "g";

/**
 * Newest first. The narrowest condition finds, the others are asked of what it finds; `next` where there may be more, also
 * when a page is short because much was looked at. QUERY_INVALID for a time that is none.
 */
export function searchJournal(store: Store, searched: Searched): SearchPage {
  const { controlId, state, limit } = searched;
  const [from, before] = [idAt(searched.from) ?? "", earlier(idAt(searched.until), searched.after)];
  const ways = waysOf(store, searched);
  const tokens = tokensOf(store, searched);
  const fits = ({ id, ...line }: SearchLine): boolean =>
    (state === undefined || line.state === state) &&
    (controlId === undefined || line.controlId === controlId) &&
    tokens.every((each) => store.search.has(each, id));
  const found: SearchLine[] = [];
  let [place, looked] = [before, 0];
  while (looked < maxLooked) {
    const wanted = limit + 1;
    // Each way gives its newest; the newest of all of them are a page.
    const ids = ways.flatMap((by) => store.search.find({ by, from, before: place, limit: wanted }));
    const next = [...new Set(ids)].sort().reverse().slice(0, wanted);
    const lines = new Map(store.search.lines(next).map((line) => [line.id, line]));
    for (const id of next) {
      if (found.length === limit) return { found, next: place };
      place = id;
      looked += 1;
      const line = lines.get(id);
      if (line && fits(line)) found.push(line);
    }
    if (next.length < wanted) return { found, next: null };
  }
  return { found, next: place };
}

/** The narrowest first. */
function waysOf(store: Store, searched: Searched): readonly Way[] {
  const { controlId, state, envelope } = searched;
  if (envelope !== undefined) return [{ kind: "record", value: envelope }];
  if (controlId !== undefined) return [{ kind: "controlId", value: controlId }];
  const [tokens] = tokensOf(store, searched);
  if (tokens) return tokens.map((value) => ({ kind: "token", value }));
  return [state === undefined ? { kind: "all", value: "" } : { kind: "state", value: state }];
}

/** Of an accession number, and of a patient under all numbers that were merged: one of each is to be there. */
const tokensOf = ({ tokens, merges }: Store, { accession, patient }: Searched): readonly (readonly Token[])[] => [
  ...(accession === undefined ? [] : [[tokens.of("reference", "accession", accession)]]),
  ...(patient === undefined ? [] : [merges.same(numbersOf(patient).map((number) => tokens.of("patient", "", number)))]),
];

/** As it is written, and the number in NAME^NUMBER, ROOT^NUMBER and NUMBER^^^AUTHORITY (PID-3): whose number it is, no token says. */
function numbersOf(written: string): readonly string[] {
  const [first = "", second = "", ...rest] = written.trim().split("^");
  const number = second === "" ? first : rest.length === 0 ? second : written;
  return [...new Set([written, number])];
}

function idAt(time: string | undefined): Id | undefined {
  if (time === undefined) return undefined;
  const ms = Date.parse(time);
  if (Number.isNaN(ms) || ms < 0)
    throw new Fault("QUERY_INVALID", "a time is written as 2026-11-28 or 2026-11-28T05:50:00Z");
  return firstId(ms);
}

const earlier = (one: Id = lastId, other: Id = lastId): Id => (one < other ? one : other);

/** `semrs journal list` with something that a person has in hand: finished or not, whatever has it, newest first, in pages. */
import { listedStates } from "../../pipeline/journal.ts";
import { type SearchPage, searchedStates } from "../../pipeline/search.ts";
import type { SearchLine } from "../../store/search.ts";
import type { AdminClient } from "../admin-client.ts";
import { columns, print, say } from "../exit.ts";

export type SearchOptions = {
  readonly json?: boolean;
  readonly controlId?: string;
  readonly patient?: string;
  readonly accession?: string;
  readonly envelope?: string;
  readonly from?: string;
  readonly until?: string;
  readonly after?: string;
  readonly state?: string;
  readonly limit?: string;
};

export const searchOptions = [
  ["--control-id <id>", "search: what came under this control id (MSH-10, SOP Instance UID)"],
  ["--patient <number>", "search: what is of this patient, under any number that was merged with it; NAME^NUMBER, too"],
  ["--accession <number>", "search: what names this accession number"],
  ["--envelope <id>", "search: what became this record"],
  ["--from <time>", "search: from this time on, ISO 8601"],
  ["--until <time>", "search: before this time"],
  ["--after <id>", "search: the next page; the page before says which"],
] as const;

const criteria = ["controlId", "patient", "accession", "envelope", "from", "until", "after"] as const;

/** States of `--state`: what is not done is listed, what is done can only be searched for. */
export const states = [...new Set([...listedStates, ...searchedStates])];
const isListed = (state: string): boolean => (listedStates as readonly string[]).includes(state);

export const isSearch = (options: SearchOptions): boolean =>
  criteria.some((each) => options[each] !== undefined) || (options.state !== undefined && !isListed(options.state));

export async function search(admin: AdminClient, { json, limit, ...options }: SearchOptions): Promise<void> {
  const asked = [...criteria, "state" as const].map((each) => [each, options[each]] as const);
  const body = Object.fromEntries(asked.filter(([, value]) => value !== undefined));
  const page = await admin.post<SearchPage>("/journal/search", { ...body, limit: Number(limit) });
  if (json) return print(JSON.stringify(page));
  print(searchLines(page.found).join("\n"));
  if (page.next) say(`there may be more: --after ${page.next}`);
}

const searchLines = (found: readonly SearchLine[]): readonly string[] =>
  found.length === 0
    ? ["nothing has it"]
    : columns([
        ["id", "at", "state", "what", "from", "channel", "code"],
        ...found.map(({ id, at, state, kind, controlId, source, channel, code }) => {
          return [id, at, state, controlId ?? kind, source, channel ?? "-", code ?? ""];
        }),
      ]);

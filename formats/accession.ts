/** Accession numbers that name nothing: what systems write where they have none. */

/** Compared in upper case without white space around. */
const meaningless: ReadonlySet<string> = new Set([
  "N/A",
  "NA",
  "NIL",
  "NO",
  "NONE",
  "NULL",
  "TBD",
  "TEMP",
  "TEST",
  "UNDEFINED",
  "UNKNOWN",
  "UNK",
]);
/** One character over and over, or punctuation alone: `0`, `000`, `XXX`, `9999`, `-`, `?`, `--.--`. */
const filler = /^(.)\1*$|^[\p{P}\p{S}\s]*$/u;

/** Whether an accession number names anything; `ignored` are the house's own words for none. */
export function isMeaningful(accession: string, ignored: readonly string[] = []): boolean {
  const value = accession.trim().toUpperCase();
  return !filler.test(value) && !meaningless.has(value) && !ignored.some((each) => each.trim().toUpperCase() === value);
}

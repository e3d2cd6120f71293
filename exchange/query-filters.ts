/** Which entries a query is for: arrays are OR, fields are AND, times are instants. */
import { instantOf } from "../formats/cda-time.ts";
import { completed, type DocumentEntry } from "../formats/document-entry.ts";
import type { Filters } from "../formats/query.ts";
import type { EntryRow } from "../store/store.ts";

const codes = [
  "classCode",
  "typeCode",
  "formatCode",
  "practiceSettingCode",
  "healthcareFacilityTypeCode",
  "confidentialityCode",
  "author",
] as const satisfies readonly (keyof DocumentEntry & keyof Filters)[];
const times = ["creationTime", "serviceStartTime", "serviceStopTime"] as const;

/** Whether an entry is one that was asked for. */
export function passes(filters: Filters): (row: EntryRow) => boolean {
  return (row) => {
    if (!filters.status.includes(row.status)) return false;
    if (!isOneOf(filters.forms, [row.form]) || !isOneOf(filters.org, [row.org])) return false;
    if (!isWithin(filters.registered, Date.parse(row.createdAt))) return false;
    const entry = entryOf(row);
    return (
      isOneOf(filters.eventCodeList, entry.eventCodeList) &&
      codes.every((name) => isOneOf(filters[name], [entry[name]])) &&
      times.every((name) => isWithin(filters[name], instantOf(entry[name] ?? "")))
    );
  };
}

/** Whether one of the values is wanted; where nothing is said all are. */
export const isOneOf = (wanted: readonly string[] | undefined, values: readonly (string | null)[]): boolean =>
  wanted === undefined || values.some((value) => value !== null && wanted.includes(value));

/** Whether an instant (milliseconds since 1970) lies in a period, whose end is outside; where no period is said it does. */
export function isWithin(
  period: { readonly from?: string | undefined; readonly to?: string | undefined } | undefined,
  at: number | undefined,
): boolean {
  if (!period) return true;
  if (at === undefined) return false;
  return at >= Date.parse(period.from ?? "0000-01-01") && at < Date.parse(period.to ?? "9999-12-31");
}

/** What a row says, with the fields that those of earlier versions lack. */
export const entryOf = ({ entry }: EntryRow): DocumentEntry => completed(entry) as DocumentEntry;

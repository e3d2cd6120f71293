/** What octets of a representation a GET is for (RFC 9110 14): one range of them, or all. */

export type Asked =
  /** `from` the first octet, up to the one before `end`. */
  { readonly status: 200 | 206; readonly from: number; readonly end: number } | { readonly status: 416 };

type Conditions = { readonly range: string | undefined; readonly ifRange: string | undefined };

/**
 * One range is answered with 206, one that begins behind the end with 416 (15.5.17). All of it is answered where no range is asked
 * for, where `If-Range` names another representation (13.1.5), and to what may be ignored (14.2): other units, several ranges at
 * once, and what is no range.
 */
export function rangeOf({ range, ifRange }: Conditions, etag: string, length: number): Asked {
  const all = { status: 200, from: 0, end: length } as const;
  const [, first = "", last = ""] = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(range ?? "") ?? [];
  // A date cannot match: there is no Last-Modified.
  if ((first === "" && last === "") || (ifRange !== undefined && ifRange !== etag)) return all;
  if (first !== "" && last !== "" && Number(last) < Number(first)) return all;
  const from = first === "" ? Math.max(0, length - Number(last)) : Number(first);
  if (from >= length) return { status: 416 };
  return { status: 206, from, end: first === "" || last === "" ? length : Math.min(length, Number(last) + 1) };
}

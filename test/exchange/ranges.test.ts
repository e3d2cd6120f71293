/** One range of a representation (RFC 9110 14). */
import { expect, test } from "vitest";
import { rangeOf } from "../../exchange/ranges.ts";

const etag = '"a1"';
const all = { status: 200, from: 0, end: 1000 };
const part = (from: number, end: number) => ({ status: 206, from, end });

test.each<[string, string | undefined, string | undefined, object]>([
  ["nothing is asked", undefined, undefined, all],
  ["RFC 9110 14.1.2 from an octet on", "bytes=500-", undefined, part(500, 1000)],
  ["14.1.2 first and last, both in it", "bytes=0-499", undefined, part(0, 500)],
  ["14.1.2 one octet", "bytes=999-999", undefined, part(999, 1000)],
  ["14.1.2 a last one behind the end is the end", "bytes=900-5000", undefined, part(900, 1000)],
  ["14.1.2 the last ones", "bytes=-100", undefined, part(900, 1000)],
  ["14.1.2 more last ones than there are", "bytes=-5000", undefined, part(0, 1000)],
  ["14.1 units have no case", "Bytes=500-", undefined, part(500, 1000)],
  ["15.5.17 from behind the end", "bytes=1000-", undefined, { status: 416 }],
  ["15.5.17 from far behind the end", "bytes=999999999999-", undefined, { status: 416 }],
  ["15.5.17 no last octets", "bytes=-0", undefined, { status: 416 }],
  ["14.2 another unit is ignored", "records=1-2", undefined, all],
  ["14.1.1 a last one before the first is ignored", "bytes=500-499", undefined, all],
  ["14.1.1 what is no range is ignored", "bytes=a-b", undefined, all],
  ["14.1.1 no number at all is ignored", "bytes=-", undefined, all],
  ["14.2 several ranges are ignored", "bytes=0-1,5-6", undefined, all],
  ["14.2 numbers without end are ignored", `bytes=${"9".repeat(40)}-`, undefined, all],
  ["13.1.5 If-Range of this one", "bytes=500-", etag, part(500, 1000)],
  ["13.1.5 If-Range of another", "bytes=500-", '"a2"', all],
  ["13.1.5 If-Range compares strongly", "bytes=500-", `W/${etag}`, all],
  ["13.1.5 If-Range with a date, of which we give none", "bytes=500-", "Sat, 28 Nov 2026 11:00:00 GMT", all],
  ["13.1.5 If-Range of another, behind the end", "bytes=5000-", '"a2"', all],
])("%s: %s", (_clause, range, ifRange, expected) => {
  expect(rangeOf({ range, ifRange }, etag, 1000)).toEqual(expected);
});

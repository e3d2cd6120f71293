import { describe, expect, test } from "vitest";
import { profileOf } from "../../envelope/index.ts";
import { headerNames } from "../../envelope/manifest.ts";
import type { RawHeaders } from "../../envelope/raw-headers.ts";

const nine: RawHeaders = headerNames.map((name) => [name, "AAAA"]);
const mixed: RawHeaders = [["Content-Type", 'multipart/mixed; boundary="x"']];
const paper: RawHeaders = [["MIME-Version", "1.0"], ...nine, ...mixed];
const profile: RawHeaders = [["X-SEMRS-Profile", "semrs-2"]];
const smime = (value: string): RawHeaders => [["Content-Type", value]];
const without = (name: string): RawHeaders => paper.filter(([each]) => each !== name);

describe("the profile of an envelope", () => {
  test.each<[string, string, RawHeaders]>([
    ["semrs-2", "by its profile header", [...profile, ...paper]],
    ["semrs-2", "by its profile header, whatever is wrong with the rest", profile],
    ["semrs-2017", "by exactly the nine tags of the paper", paper],
    ["semrs-2017", "in any order and case", [...paper].reverse().map(([name, value]) => [name.toUpperCase(), value])],
    ["semrs-2017", "with headers of HTTP beside them", [["Host", "b"], ["Content-Length", "1"], ...paper]],
    ["smime-4", "by its media type", smime("application/pkcs7-mime; smime-type=authEnveloped-data")],
    [
      "smime-4",
      "as OpenSSL writes it",
      smime('application/pkcs7-mime; smime-type="authEnveloped-data"; name="smime.p7m"'),
    ],
  ])("is %s, known %s", (expected, _, headers) => {
    expect(profileOf(headers)).toBe(expected);
  });

  test.each<[string, RawHeaders]>([
    ["no headers", []],
    ["18 the profile header stripped from semrs-2", [["X-SEMRS-Id", "0".repeat(32)], ...paper]],
    ["20 an unknown profile", [["X-SEMRS-Profile", "semrs-3"], ...paper]],
    ["20 semrs-2 twice", [...profile, ...profile, ...paper]],
    ["21 semrs-2 inside smime-4", [...profile, ...smime("application/pkcs7-mime; smime-type=authEnveloped-data")]],
    ["semrs-2017 by name", [["X-SEMRS-Profile", "semrs-2017"], ...paper]],
    ["4 one of nine missing", without("X-EEC-DistAlg")],
    ["3 one of nine twice", [...paper, ["x-eec-sender", "AAAA"]]],
    ["5 a tenth", [...paper, ["X-EEC-Extra", "AAAA"]]],
    ["no media type", without("Content-Type")],
    ["two media types", [...paper, ...mixed]],
    ["another multipart", [...without("Content-Type"), ["Content-Type", 'multipart/related; boundary="x"']]],
    ["50 enveloped-data, without authentication", smime("application/pkcs7-mime; smime-type=enveloped-data")],
    ["S/MIME without its type", smime("application/pkcs7-mime")],
    ["S/MIME of two types", smime("application/pkcs7-mime; smime-type=authEnveloped-data; smime-type=enveloped-data")],
  ])("is none: %s", (_, headers) => {
    expect(() => profileOf(headers)).toThrow(expect.objectContaining({ code: "ENVELOPE_UNSUPPORTED" }));
  });

  test.each<[string, RawHeaders]>([
    ["6 a folded value", [...paper, ["X-Other", "a\r\n b"]]],
    ["7 a value over 8 KiB", [...paper, ["X-Other", "a".repeat(8193)]]],
    [
      "8 headers over 64 KiB",
      [...paper, ...Array.from({ length: 9 }, (): [string, string] => ["X", "a".repeat(8000)])],
    ],
  ])("is not asked for beyond the limits: %s", (_, headers) => {
    expect(() => profileOf(headers)).toThrow(expect.objectContaining({ code: "ENVELOPE_MALFORMED" }));
  });
});

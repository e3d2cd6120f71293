import { describe, expect, test } from "vitest";
import { readStrictJson } from "../../envelope/json.ts";
import { octets } from "./samples.ts";

const read = (text: string): unknown => readStrictJson(Buffer.from(text), "test");

describe("strict JSON", () => {
  test.each([
    ['{"a":1,"b":[true,false,null,"x"]}'],
    [' { "a" : [ ] , "b" : { } } \n'],
    ['"\\u0041\\n\\\\\\" 出院病摘"'],
    ['{"constructor":0,"toString":1}'],
    ["68719476736"],
    ["0"],
    ["[[[[[0]]]]]"],
  ])("reads %s as JSON.parse does", (text) => {
    expect(read(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ["a duplicate key", '{"a":1,"a":1}'],
    ["__proto__", '{"__proto__":{}}'],
    ["a fraction", "1.0"],
    ["an exponent", "1e3"],
    ["a sign", "-1"],
    ["a leading zero", "01"],
    ["an integer over 2^36", "68719476737"],
    ["an integer of many digits", "9".repeat(1000)],
    ["a depth of seven", "[[[[[[[0]]]]]]]"],
    ["a comma at the end", "[1,]"],
    ["a comma at the beginning", "[,1]"],
    ["two commas", '{"a":1,,"b":2}'],
    ["a comment", "[1]//"],
    ["two values", "1 2"],
    ["nothing", ""],
    ["an open array", "[1"],
    ["an open object", '{"a":1'],
    ["an open string", '"abc'],
    ["an open string with an escaped quote", '"abc\\"'],
    ["a key without quotes", "{a:1}"],
    ["a single quote", "'a'"],
    ["a control character in a string", '"a\u0001b"'],
    ["a line end in a string", '"a\nb"'],
    ["an unknown escape", '"\\x41"'],
    ["half a surrogate pair", '"\\ud800"'],
    ["NaN", "NaN"],
    ["a word that begins like a literal", "nul"],
    ["a BOM", "\ufeff1"],
    ["another kind of space", "\u00a01"],
    ["65 keys", `{${Array.from({ length: 65 }, (_, n) => `"k${n}":1`).join(",")}}`],
  ])("refuses %s", (_, text) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: "ENVELOPE_NOT_OPENED" }));
  });

  test("refuses octets that are not UTF-8", () => {
    for (const hex of ["22ff22", "22c328 22", "22eda08022", "22c08022"]) {
      expect(() => readStrictJson(Buffer.from(hex.replaceAll(" ", ""), "hex"), "test")).toThrow("not UTF-8");
    }
  });

  test("says where, and never what", () => {
    expect(() => read('{"name":"Meier \u0001"}')).toThrow(
      expect.objectContaining({
        message: "test: a string with a control character or an escape that is none at character 8",
      }),
    );
  });

  test("reads a string of ten megabytes", () => {
    const text = Buffer.from(octets(8_000_000)).toString("base64");
    expect(read(JSON.stringify({ text }))).toEqual({ text });
  });

  test("a string of backslashes costs no more than its length", () => {
    const text = '\\"'.repeat(200_000);
    expect(read(JSON.stringify(text))).toBe(text);
  });
});

/** DER (X.690 10): every value has one form, and no structure is larger or deeper than any that is used here. */
import { describe, expect, test } from "vitest";
import { booleanOf, integer, numberOf, oidOf, read, sequence, tag, timeOf, tlv } from "../../envelope/cms/der.ts";

const malformed = (message: RegExp) =>
  expect.objectContaining({ code: "ENVELOPE_MALFORMED", message: expect.stringMatching(message) });

describe("DER", () => {
  test("of more octets, deeper, or of more elements than any structure here", () => {
    expect(() => read(Buffer.alloc(16 * 1024 * 1024 + 1))).toThrow(malformed(/more than 16777216 octets/));
    let nested = sequence();
    for (let depth = 0; depth < 17; depth += 1) nested = sequence(nested);
    expect(() => read(nested)).toThrow(malformed(/nested deeper than 16/));
    expect(() => read(tlv(tag.sequence, Buffer.alloc(2 * 200_001, Buffer.from([5, 0]))))).toThrow(
      malformed(/200000 elements/),
    );
  });

  test.each<[string, readonly number[], RegExp]>([
    ["25 no length", [tag.sequence], /truncated/],
    ["25 fewer octets than said", [tag.sequence, 5, 0], /./],
    ["25 a length that ends too early", [tag.sequence, 0x82, 1], /truncated/],
    ["25 the same of an element inside", [tag.sequence, 2, tag.octetString, 0x82], /truncated/],
    ["25 an element that ends beyond its sequence", [tag.sequence, 3, tag.octetString, 2, 0], /truncated/],
    ["a tag number over 30", [0x1f, 0], /tag number over 30/],
    ["29 an indefinite length", [tag.sequence, 0x80, 0, 0], /indefinite length/],
    ["27 a length of five octets", [tag.sequence, 0x85, 1, 0, 0, 0, 0], /more than four octets/],
    ["29 a length that is not minimal", [tag.sequence, 0x81, 1, 0], /length not minimal/],
  ])("%s is refused", (_, octets, cause) => {
    expect(() => read(Uint8Array.from(octets))).toThrow(malformed(cause));
  });

  test("a value is of the kind that is due", () => {
    expect(() => read(sequence(), tag.set)).toThrow(malformed(/another tag/));
    expect(() => oidOf(read(tlv(tag.oid)))).toThrow(malformed(/IDENTIFIER expected/));
    expect(() => oidOf(read(Uint8Array.of(tag.oid, 2, 0x2a, 0x86)))).toThrow(malformed(/IDENTIFIER truncated/));
    expect(() => numberOf(read(Uint8Array.of(tag.integer, 1, 0xff)))).toThrow(malformed(/small INTEGER/));
    const timed = (text: string) => timeOf(read(tlv(tag.utcTime, Buffer.from(text))));
    expect(timed("260504120000Z").toISOString()).toBe("2026-05-04T12:00:00.000Z");
    expect(() => timed("2605041200Z")).toThrow(malformed(/time expected/));
    expect(() => timed("261304120000Z")).toThrow(malformed(/does not exist/));
  });

  test("an OBJECT IDENTIFIER and a BOOLEAN have one form too", () => {
    expect(() => oidOf(read(Uint8Array.of(tag.oid, 3, 0x2a, 0x80, 0x01)))).toThrow(malformed(/IDENTIFIER not minimal/));
    expect(() => booleanOf(read(Uint8Array.of(tag.boolean, 1, 1)))).toThrow(malformed(/BOOLEAN expected/));
  });

  test("an OBJECT IDENTIFIER of 257 octets: one of a mebibyte would be worked on for minutes", () => {
    const octetsOf = (count: number) => tlv(tag.oid, Buffer.alloc(count, 0xff).fill(1, count - 1));
    expect(oidOf(read(octetsOf(256)))).toMatch(/^2\.\d+$/);
    expect(() => oidOf(read(octetsOf(257)))).toThrow(malformed(/IDENTIFIER over 256 octets/));
  });

  test("an INTEGER has one form", () => {
    expect(integer(Uint8Array.of(0, 0, 7))).toEqual(integer(7));
    expect(() => numberOf(read(tlv(tag.integer, Uint8Array.of(0, 7))))).toThrow(malformed(/not minimal/));
  });
});

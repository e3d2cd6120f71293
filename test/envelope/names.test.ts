/** Names compare as RFC 5280 7.1 says, whichever string type wrote them. */
import { expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { integer, oid, read, sequence, setOf, tag, tlv } from "../../envelope/cms/der.ts";
import { nameKey, rdnsOf } from "../../envelope/names.ts";

const keyOf = (value: Uint8Array): string =>
  nameKey(rdnsOf(read(sequence(setOf(sequence(oid(oids.commonName), value))))));
const text = "臺北 Hospital";

test.each([
  ["UTF8String", tlv(tag.utf8String, Buffer.from(text))],
  ["UTF8String in other case and with more spaces", tlv(tag.utf8String, Buffer.from("  臺北   HOSPITAL "))],
  ["BMPString", tlv(30, Buffer.from(text, "utf16le").swap16())],
  [
    "UniversalString",
    tlv(
      28,
      Buffer.concat(
        [...text].map((each) => {
          const octets = Buffer.alloc(4);
          octets.writeUInt32BE(each.codePointAt(0) ?? 0);
          return octets;
        }),
      ),
    ),
  ],
])("%s is the same name", (_, value) => {
  expect(keyOf(value)).toBe(keyOf(tlv(tag.utf8String, Buffer.from(text))));
});

test("what is no text is compared octet by octet, and is no text's equal", () => {
  expect(keyOf(integer(7))).toBe(keyOf(integer(7)));
  expect(keyOf(integer(7))).not.toBe(keyOf(integer(8)));
  expect(keyOf(tlv(20, Buffer.from("A")))).toBe(keyOf(tlv(tag.printableString, Buffer.from("a"))));
  expect(keyOf(tlv(tag.octetString, Buffer.from("a")))).not.toBe(keyOf(tlv(tag.printableString, Buffer.from("a"))));
});

test("a name of more parts than any has is refused", () => {
  const part = setOf(sequence(oid(oids.commonName), tlv(tag.utf8String, Buffer.from("x"))));
  expect(() => rdnsOf(read(sequence(...Array.from({ length: 65 }, () => part))))).toThrow(/more than 64/);
});

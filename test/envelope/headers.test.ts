import { createCipheriv } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openHeader, sealHeader } from "../../envelope/headers.ts";
import { octets } from "./samples.ts";

const key = octets(32, 5);
const name = "X-EEC-MessageType";
const refused = expect.objectContaining({ code: "ENVELOPE_NOT_OPENED" });

/** A value sealed over any octets: for padding that no honest writer makes. */
function sealedOver(padded: Uint8Array): string {
  const nonce = octets(12, 6);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 }).setAAD(
    Buffer.from("semrs-2\0x-eec-messagetype"),
  );
  return `v2.${Buffer.concat([nonce, cipher.update(padded), cipher.final(), cipher.getAuthTag()]).toString("base64url")}`;
}

const padded = (text: string, size: number): Buffer => {
  const bytes = Buffer.alloc(size);
  bytes.write(`${text}\x80`, "latin1");
  return bytes;
};

describe("a sealed header", () => {
  test.each(["", "116", "x".repeat(62), "x".repeat(63), "x".repeat(64), "醫院", "\ufeffx", "x\0"])(
    "opens to what was sealed: %j",
    (value) => {
      expect(openHeader(key, name, sealHeader(key, name, value))).toBe(value);
    },
  );

  test("is as long for every value of up to 63 octets", () => {
    const lengths = ["", "116", "x".repeat(63)].map((value) => sealHeader(key, name, value).length);
    expect(new Set(lengths).size).toBe(1);
    expect(sealHeader(key, name, "x".repeat(64)).length).toBeGreaterThan(lengths[0] ?? 0);
  });

  test("is never the same twice", () => {
    expect(sealHeader(key, name, "116")).not.toBe(sealHeader(key, name, "116"));
  });

  test("48 does not open under another name or another key", () => {
    const sealed = sealHeader(key, name, "116");
    expect(() => openHeader(key, "X-EEC-Sender", sealed)).toThrow(refused);
    expect(() => openHeader(octets(32, 9), name, sealed)).toThrow(refused);
  });

  test("control: padding as specified opens", () => {
    expect(openHeader(key, name, sealedOver(padded("116", 64)))).toBe("116");
  });

  test.each([
    ["no mark", Buffer.alloc(64)],
    ["something after the mark", Buffer.concat([padded("116", 63), Uint8Array.of(1)])],
    ["a block too many", padded("116", 128)],
    ["an odd length", padded("116", 65)],
    ["nothing", Buffer.alloc(0)],
    ["octets that are not UTF-8", padded("\xff\xfe", 64)],
  ])("85 with %s as padding does not open", (_, bytes) => {
    expect(() => openHeader(key, name, sealedOver(bytes))).toThrow(refused);
  });

  test.each(["", "v2.", "v2", "v1.AAAA", "v2.AAAA", "v2.++//", `v2.${"A".repeat(5000)}`])(
    "that is no sealed value does not open: %s",
    (value) => {
      expect(() => openHeader(key, name, value)).toThrow(refused);
    },
  );
});

import { createCipheriv } from "node:crypto";
import { describe, expect, test } from "vitest";
import { cbcEnd, cbcLength, cbcOpen, cbcSeal } from "../../envelope/semrs2017-cbc.ts";
import { octets } from "./samples.ts";

const key = octets(32, 1);
const iv = octets(16, 2);

/** A block that decrypts to these 16 octets, an IV in front. */
function ending(block: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-cbc", key, iv).setAutoPadding(false);
  return Buffer.concat([iv, cipher.update(block), cipher.final()]);
}

describe("CBC without a tag", () => {
  test("every length opens again, and is as long as was said", () => {
    for (let size = 0; size <= 64; size += 1) {
      const sealed = cbcSeal(key, iv, octets(size, 3));
      expect(sealed).toHaveLength(cbcLength(size));
      const { clear, bad } = cbcOpen(key, sealed);
      expect([Buffer.from(clear).equals(octets(size, 3)), bad]).toEqual([true, 0]);
      expect(cbcEnd(key, sealed.subarray(-32))).toEqual({ count: 16 - (size % 16), bad: 0 });
    }
  });

  test("padding is right when its last octet counts it, 1 to 16, and all of it says so", () => {
    for (let last = 0; last < 256; last += 1) {
      for (let from = 0; from < 16; from += 1) {
        const block = Buffer.alloc(16, 0x77).fill(last, from);
        const isRight = last >= 1 && last <= 16 && from <= 16 - last;
        expect(cbcEnd(key, ending(block)), `${last} from ${from}`).toEqual({
          count: isRight ? last : 0,
          bad: Number(!isRight),
        });
      }
    }
  });

  test("a length that no writer makes is wrong whatever it opens to", () => {
    // Among so many keys are some under which the zeros that stand in for it have padding that would be right.
    for (let seed = 0; seed < 2000; seed += 1) {
      const any = octets(32, seed + 1000);
      for (const size of [0, 16, 31, 33]) expect(cbcOpen(any, Buffer.alloc(size)).bad).toBe(1);
    }
  });
});

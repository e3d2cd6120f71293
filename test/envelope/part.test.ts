import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openCipher, type PartFacts, partLength, partStream, sealPart } from "../../envelope/index.ts";
import { sealOctets, sealWhole } from "../../envelope/part.ts";
import { collect, flipped, inPieces, mebibyte, octets, sealed, sha256 } from "./samples.ts";

const sizes = [1, 63, mebibyte - 1, mebibyte, mebibyte + 1, 2 * mebibyte, 2 * mebibyte + 12_345];
const opened = (cipher: Uint8Array, facts: PartFacts, step?: number) =>
  collect(openCipher(inPieces(cipher, step), facts));
const refused = { code: "ENVELOPE_NOT_OPENED" };

const whole = async (part: ReturnType<typeof sealWhole>) => ({
  cipher: Buffer.concat(await Array.fromAsync(part.cipher)),
  facts: part.facts(),
});

describe("sealing a part", () => {
  test.each(sizes)("digests each mebibyte of %i octets and the whole of them, as specified", async (size) => {
    const clear = octets(size);
    const { facts } = await sealed(clear, "segments", 50_000);
    const segs = Buffer.concat(
      Array.from({ length: Math.ceil(size / mebibyte) }, (_, n) =>
        Buffer.from(sha256(clear.subarray(n * mebibyte, (n + 1) * mebibyte)), "hex"),
      ),
    );
    const u64 = Buffer.alloc(8);
    u64.writeBigUInt64BE(BigInt(size));
    const root = createHash("sha256").update("semrs-2/root\0").update(u64).update(segs).digest("hex");
    expect(facts).toMatchObject({ size, sha256: null, root });
    expect(Buffer.from(facts.segs ?? []).equals(segs)).toBe(true);
    expect((await sealed(clear, "whole")).facts).toMatchObject({ size, sha256: sha256(clear), segs: null, root: null });
  });

  test("who looks at the clear text is waited for, and told of its end; what it throws ends the part", async () => {
    const clear = octets(300);
    const heard: (Uint8Array | null)[] = [];
    let isReading = false;
    const seen = async (chunk: Uint8Array | null): Promise<void> => {
      expect(isReading).toBe(false);
      isReading = true;
      await new Promise(setImmediate);
      heard.push(chunk && Buffer.from(chunk));
      isReading = false;
    };
    const part = sealPart(inPieces(clear, 100), "segments", undefined, seen);
    await collect(part.cipher);
    expect(heard).toEqual(
      [clear.subarray(0, 100), clear.subarray(100, 200), clear.subarray(200), null].map(
        (each) => each && Buffer.from(each),
      ),
    );
    const failing = sealPart(inPieces(clear), "segments", undefined, () => Promise.reject(new Error("not that")));
    await expect(collect(failing.cipher)).rejects.toThrow("not that");
  });

  test.each(sizes)("%i octets at hand make a part that opens, under a key of its own each time", async (size) => {
    const clear = octets(size);
    const [one, other] = [sealOctets(clear), sealOctets(clear)];
    expect(Buffer.from(await opened(one.cipher, one.facts)).equals(clear)).toBe(true);
    expect(one.facts).toMatchObject({ size, sha256: sha256(clear), segs: null, root: null });
    expect([one.facts.cek.length, one.facts.nonce.length, one.facts.tag.length]).toEqual([32, 12, 16]);
    expect(Buffer.from(one.facts.cek).equals(other.facts.cek)).toBe(false);
    expect(Buffer.from(one.facts.nonce).equals(other.facts.nonce)).toBe(false);
  });

  test.each(sizes)(
    "%i octets at hand go to a store as the same part, in pieces of a mebibyte at most",
    async (size) => {
      const clear = octets(size);
      const part = sealWhole(clear);
      const cipher = await Array.fromAsync(part.cipher);
      expect(Math.max(...cipher.map(({ length }) => length))).toBeLessThanOrEqual(mebibyte);
      expect(part.facts()).toMatchObject({ size, sha256: sha256(clear), segs: null, root: null });
      expect(Buffer.from(await opened(Buffer.concat(cipher), part.facts())).equals(clear)).toBe(true);
    },
  );

  test("a digest that is known is taken as it is: the part opens with the right one, and with no other", async () => {
    const clear = octets(1_000);
    for (const given of [sealOctets(clear, sha256(clear)), await whole(sealWhole(clear, sha256(clear)))]) {
      expect(given.facts).toMatchObject({ sha256: sha256(clear) });
      expect(Buffer.from(await opened(given.cipher, given.facts)).equals(clear)).toBe(true);
    }
    const wrong = sealOctets(clear, sha256(octets(999)));
    await expect(opened(wrong.cipher, wrong.facts)).rejects.toThrow();
  });

  test("octets at hand are refused when there are none, or more than are held in memory", () => {
    expect(() => sealOctets(new Uint8Array())).toThrow(expect.objectContaining({ code: "ENVELOPE_MALFORMED" }));
    const tooMany = new Uint8Array(64 * mebibyte + 1);
    expect(() => sealOctets(tooMany)).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  });

  test("the facts do not depend on how the octets come", async () => {
    const clear = octets(mebibyte + 77);
    const digests = await Promise.all(
      [1013, 65_536, 3 * mebibyte].map(async (step) => (await sealed(clear, "segments", step)).facts.root),
    );
    expect(new Set(digests).size).toBe(1);
  });

  test("every sealing draws its own key and nonce", async () => {
    const [one, two] = [await sealed(octets(100), "whole"), await sealed(octets(100), "whole")];
    expect(Buffer.from(one.facts.cek).equals(two.facts.cek)).toBe(false);
    expect(Buffer.from(one.facts.nonce).equals(two.facts.nonce)).toBe(false);
    expect(one.cipher.equals(two.cipher)).toBe(false);
  });

  test("the facts are there after the last octet, as often as they are asked for, and not before", async () => {
    const part = sealPart(inPieces(octets(100)), "whole");
    expect(() => part.facts()).toThrow("only after its last octet");
    await collect(part.cipher);
    expect(part.facts()).toEqual(part.facts());
  });

  test("an empty body and one over the limit are refused", async () => {
    await expect(collect(sealPart(inPieces(octets(0)), "whole").cipher)).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
    await expect(collect(sealPart(inPieces(octets(101)), "segments", 100).cipher)).rejects.toMatchObject({
      code: "TOO_LARGE",
    });
    expect(await collect(sealPart(inPieces(octets(100)), "segments", 100).cipher)).toHaveLength(100);
  });
});

describe.each(["whole", "segments"] as const)("opening ciphertext (%s)", (form) => {
  test.each(sizes)("gives %i octets back in whatever pieces the ciphertext comes", async (size) => {
    const clear = octets(size);
    const { facts, cipher } = await sealed(clear, form);
    for (const step of [70_001, mebibyte, 5 * mebibyte])
      expect((await opened(cipher, facts, step)).equals(clear)).toBe(true);
  });

  test("works octet by octet", async () => {
    const { facts, cipher } = await sealed(octets(300), form, 1);
    expect((await opened(cipher, facts, 1)).equals(octets(300))).toBe(true);
  });

  test.each([
    ["first", 0],
    ["middle", mebibyte + 5],
    ["last", 2 * mebibyte + 98],
  ])("releases nothing of the %s segment, and nothing after it, when a bit of it is changed", async (_, at) => {
    const clear = octets(2 * mebibyte + 99);
    const { facts, cipher } = await sealed(clear, form);
    const released: Uint8Array[] = [];
    const read = async () => {
      for await (const piece of openCipher(inPieces(flipped(cipher, at)), facts)) released.push(piece);
    };
    await expect(read()).rejects.toMatchObject(refused);
    const bound = form === "whole" ? 0 : Math.floor(at / mebibyte) * mebibyte;
    expect(Buffer.concat(released).equals(clear.subarray(0, bound))).toBe(true);
  });

  test("refuses a wrong tag, another nonce, another key, and other digests", async () => {
    const { facts, cipher } = await sealed(octets(mebibyte + 9), form);
    const wrong: readonly Partial<PartFacts>[] = [
      { tag: flipped(facts.tag, 15) },
      { tag: facts.tag.subarray(0, 12) },
      { nonce: flipped(facts.nonce, 0) },
      { cek: flipped(facts.cek, 31) },
      form === "whole" ? { sha256: sha256(octets(5)) } : { segs: flipped(facts.segs ?? octets(0), 40) },
    ];
    for (const change of wrong) await expect(opened(cipher, { ...facts, ...change })).rejects.toMatchObject(refused);
  });

  test("refuses ciphertext that is an octet short, an octet long, or lacks a segment", async () => {
    const { facts, cipher } = await sealed(octets(2 * mebibyte), form);
    const wrong = [
      cipher.subarray(0, -1),
      Buffer.concat([cipher, octets(1)]),
      cipher.subarray(0, mebibyte),
      cipher.subarray(mebibyte),
      octets(0),
    ];
    for (const octets of wrong) await expect(opened(octets, facts)).rejects.toMatchObject(refused);
  });
});

describe("the frame around a part", () => {
  const id = "00112233445566778899aabbccddeeff";
  const oneTimeKey = octets(32, 9);

  test.each([...sizes, 126, 127, 128, 255, 256, 65_535, 65_536])(
    "takes as many octets for %i as was promised",
    async (size) => {
      const { facts, cipher } = await sealed(octets(size), "segments");
      expect(await collect(partStream(inPieces(cipher), facts, oneTimeKey, id))).toHaveLength(partLength(size));
    },
  );

  test("is the template of the specification, octet for octet", async () => {
    const { facts, cipher } = await sealed(octets(3), "whole");
    const framed = await collect(partStream(inPieces(cipher), facts, oneTimeKey, id));
    const wrap = framed.subarray(64, 104).toString("hex");
    const nonce = Buffer.from(facts.nonce).toString("hex");
    const tag = Buffer.from(facts.tag).toString("hex");
    const expected = [
      "3080060b2a864886f70d0109100117a0803080020100",
      `3150a24e02010430120410${id}300b060960864801650304012d0428${wrap}`,
      `308006092a864886f70d010701301e060960864801650304012e3011040c${nonce}020110a080`,
      `0403${cipher.toString("hex")}0000`,
      `00000410${tag}000000000000`,
    ];
    expect(framed.toString("hex")).toBe(expected.join(""));
    expect(framed.subarray(33, 49).toString("hex")).toBe(id);
    expect(framed.subarray(134, 146).toString("hex")).toBe(nonce);
  });

  test("is not finished when the ciphertext is not of the promised size", async () => {
    const { facts, cipher } = await sealed(octets(100), "whole");
    for (const wrong of [cipher.subarray(1), Buffer.concat([cipher, octets(1)])]) {
      await expect(collect(partStream(inPieces(wrong), facts, oneTimeKey, id))).rejects.toMatchObject({
        code: "STORE_DAMAGED",
      });
    }
  });
});

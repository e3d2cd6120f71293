/** A body as it lies is the body, from any octet on, and no ciphertext is asked for that stands before. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { pemToDer } from "../../envelope/certificate.ts";
import { type Content, readRuns, type SealedRuns, seal } from "../../envelope/index.ts";
import { bytesOf, contentFrom, member, octets, people, wire } from "./people.ts";

const mebibyte = 1 << 20;
let content: readonly Content[];
let ciphers: readonly Buffer[];
let sealed: SealedRuns;
beforeAll(async () => {
  const sides = await people();
  content = [
    await contentFrom(octets(30_000, 1), "cda"),
    await contentFrom(octets(2 * mebibyte, 2), "dicom", "1.2.1"),
    await contentFrom(octets(1, 3), "dicom", "1.2.2"),
    await contentFrom(octets(mebibyte + 70_000, 4), "dicom", "1.2.3"),
  ];
  ciphers = await Promise.all(content.map(({ cipher }) => bytesOf(cipher())));
  const certificate = pemToDer(readFileSync(join(sides.folder, "b/decrypt.crt"), "utf8"))[0] ?? new Uint8Array();
  const draft = { purpose: "push", message: "1".repeat(32), sender: "a", messageType: "116" } as const;
  sealed = await seal({ ...draft, to: [{ org: "b", certificate }], content }, member(sides.signers, "a"), new Date());
});

test("any span of the runs is that span of the body; ciphertext is read from the mebibyte on in which the span begins", async () => {
  const body = await bytesOf(sealed.body());
  const runs = await sealed.runs();
  expect(body).toHaveLength(sealed.contentLength);
  const firstOf = content.map(({ cipher: _, ...part }, index) =>
    body.indexOf(ciphers[index]?.subarray(0, 64) ?? "", part.facts.size > 64 ? 0 : body.length),
  );
  const asked: [number, number][] = [];
  const span = async (from: number, end: number): Promise<Buffer> =>
    await bytesOf(
      readRuns(runs, { from, end }, (index, start) => {
        asked.push([index, start]);
        return wire(ciphers[index]?.subarray(start) ?? Buffer.alloc(0), 100_000);
      }),
    );
  expect((await span(0, body.length)).equals(body)).toBe(true);
  const second = firstOf[1] ?? 0;
  asked.length = 0;
  expect((await span(second + mebibyte, body.length)).equals(body.subarray(second + mebibyte))).toBe(true);
  expect(asked).toEqual([
    [1, mebibyte],
    [2, 0],
    [3, 0],
  ]);
  const borders = [
    0,
    1,
    second - 5,
    second,
    second + mebibyte - 1,
    second + mebibyte,
    second + mebibyte + 5,
    body.length - 1,
  ];
  const place = fc.oneof(fc.constantFrom(...borders), fc.nat(body.length - 1));
  await fc.assert(
    fc.asyncProperty(place, fc.oneof(fc.integer({ min: 1, max: 20 }), fc.nat(body.length)), async (from, count) => {
      const end = Math.min(body.length, from + count);
      expect((await span(from, end)).equals(body.subarray(from, end))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

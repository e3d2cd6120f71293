import { describe, expect, test } from "vitest";
import { closing, opening, readParts } from "../../envelope/mime.ts";
import { multipart } from "./forge.ts";
import { collect, inPieces, octets } from "./samples.ts";

const boundary = "b-0123";
const delimiter = `\r\n--${boundary}`;

async function read(body: Uint8Array, step: number, maxParts = 10): Promise<readonly Buffer[]> {
  const parts: Buffer[] = [];
  for await (const part of readParts(inPieces(body, step), boundary, maxParts)) parts.push(await collect(part));
  return parts;
}

describe("multipart/mixed", () => {
  /** Parts that are full of what could be mistaken for a boundary. */
  const hard = [
    Buffer.from("\r\n--b-012\r\n--b-01\r\n-\r\r\n"),
    Buffer.from(`--${boundary}\r\n`),
    Buffer.from(`${delimiter.slice(0, -1)}${delimiter.slice(0, -1)}`),
    Buffer.from("\r"),
    Buffer.from("\r\n"),
    Buffer.alloc(0),
    Buffer.from(octets(5000)),
  ];
  const body = multipart(hard, boundary);

  test.each([1, 2, 3, 5, 7, 11, 64, 1000, 100_000])("is read in pieces of %i as it was written", async (step) => {
    expect(await read(body, step)).toEqual(hard);
  });

  test("is written as it is read", async () => {
    const written = Buffer.concat([...hard.flatMap((part, n) => [opening(boundary, n), part]), closing(boundary)]);
    expect(written.equals(body)).toBe(true);
  });

  test("13 with more parts than allowed is not read on", async () => {
    expect(await read(body, 64, hard.length)).toHaveLength(hard.length);
    let taken = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (const start = multipart([octets(9)], boundary).subarray(0, -4); ; taken += 1)
        yield taken === 0 ? start : Buffer.concat([Buffer.from("\r\n"), start.subarray(boundary.length + 4)]);
    }
    const all = async () => {
      for await (const part of readParts(endless(), boundary, 25_003)) await collect(part);
    };
    await expect(all()).rejects.toMatchObject({ code: "TOO_LARGE" });
    expect(taken).toBeLessThan(25_010);
  });

  test("a part that is left before its end stops the reading", async () => {
    const skim = async () => {
      for await (const _ of readParts(inPieces(body), boundary, 10));
    };
    await expect(skim()).rejects.toMatchObject({ code: "UNEXPECTED" });
  });

  describe("with a base64 part", () => {
    const withPart = (encoded: string): Buffer =>
      Buffer.from(
        multipart([Buffer.from(encoded)], boundary)
          .toString()
          .replace("binary", "base64"),
      );
    const lines = (bytes: Uint8Array): string =>
      Buffer.from(bytes)
        .toString("base64")
        .replaceAll(/.{76}(?=.)/g, "$&\r\n");

    test.each([1, 2, 56, 57, 58, 114, 1000, 60_000])(
      "of %i octets is decoded, in whatever pieces it comes",
      async (size) => {
        for (const step of [1, 77, 78, 79, 65_536])
          expect(await read(withPart(lines(octets(size))), step)).toEqual([octets(size)]);
      },
    );

    test.each([
      ["bits left over", "QUJDR=="],
      ["bits that are not zero", "QUJDRF=="],
      ["missing padding", "QUJDRA"],
      ["padding in the middle", "QQ==QUJD"],
      ["a space", "QUJD QUJD"],
      ["base64url", "_-__"],
      ["a short line before the last", "QUJD\r\nQUJD"],
      ["a line of 80", "A".repeat(80)],
      ["a bare LF", `${"A".repeat(76)}\nAAAA`],
      ["an empty line", `${"A".repeat(76)}\r\n\r\nAAAA`],
      ["a line end after the last line", "QUJD\r\n"],
    ])("15 that has %s is refused", async (_, encoded) => {
      for (const step of [1, 65_536])
        await expect(read(withPart(encoded), step)).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
    });
  });
});

/** Octets that are drawn ahead are given to one and to no other. */
import { expect, test } from "vitest";
import { drawn } from "../../store/drawn.ts";

test("pieces are of the length asked for, and none comes twice", () => {
  const pieces = Array.from({ length: 5_000 }, (_, n) => drawn(n % 2 === 0 ? 12 : 10).toString("hex"));
  expect(pieces.every((piece, n) => piece.length === (n % 2 === 0 ? 24 : 20))).toBe(true);
  expect(new Set(pieces).size).toBe(pieces.length);
});

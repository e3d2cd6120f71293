/** Commits between two threads: what is unpacked is what was packed, and a statement is told once. */
import { expect, test } from "vitest";
import type { Commit } from "../../store/group-commit.ts";
import { openPacker, openUnpacker } from "../../store/parcel.ts";

const [insert, remove] = ["INSERT INTO t VALUES (?, ?, ?, ?, ?)", "DELETE FROM t"];
const pooled = Buffer.from("xxoctetsxx").subarray(2, 8);
const commits: readonly Commit[] = [
  {
    n: 1,
    accepted: [{ id: "a", digest: "d" }],
    statements: [
      { sql: insert, params: ["text", 1.5, 2n ** 60n, null, pooled] },
      { sql: remove, params: [] },
    ],
  },
  { n: 2, accepted: [], statements: [] },
  { n: 3, accepted: [], statements: [{ sql: insert, params: [new Uint8Array(), "", 0, Uint8Array.of(7), "end"] }] },
];
/** Octets as one kind of array. */
const plain = (each: readonly Commit[]): unknown =>
  each.map(({ statements, ...rest }) => ({
    ...rest,
    statements: statements.map(({ sql, params }) => ({
      sql,
      params: params.map((param) => (ArrayBuffer.isView(param) ? [...(param as Uint8Array)] : param)),
    })),
  }));

test("commits arrive as they were packed, values of every type, after a clone that takes the memory", () => {
  const [pack, unpack] = [openPacker(), openUnpacker()];
  const parcel = pack(commits);
  const cloned = structuredClone(parcel, { transfer: [parcel.octets.buffer] });
  expect(parcel.octets.length).toBe(0);
  expect(plain(unpack(cloned))).toEqual(plain(commits));
  // What was packed is whole: the caller may commit it once more.
  expect(pooled.toString()).toBe("octets");
});

test("a statement is told once, and found by its number in every later parcel", () => {
  const [pack, unpack] = [openPacker(), openUnpacker()];
  const first = pack(commits);
  expect(first.texts).toEqual([insert, remove]);
  unpack(first);
  const later = pack([...commits].reverse());
  expect(later.texts).toEqual([]);
  expect(plain(unpack(later))).toEqual(plain([...commits].reverse()));
});

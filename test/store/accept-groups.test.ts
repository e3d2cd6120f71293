/** What the accept journal says after a crash: what it proves, what it cannot, and where it does not hold. */
import { mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { emptyHead, frame, type Head, readJournal, walkJournal } from "../../store/accept-journal.ts";
import { openAppender } from "../../store/appender.ts";
import { systemClock } from "../../store/clock.ts";
import { openJournalFile } from "../../store/journal-file.ts";

type Entry = { readonly id: string; readonly group: number } | "confirmed";

/** A journal of these frames, each with where it begins, and so many zeros behind them. */
function journalOf(entries: readonly Entry[], zeros = 0) {
  const path = join(mkdtempSync(join(tmpdir(), "semrs-journal-")), "accept.journal");
  const starts: number[] = [];
  const pieces: Uint8Array[] = [];
  let { chain, offset } = emptyHead;
  for (const [n, entry] of entries.entries()) {
    const record = entry === "confirmed" ? {} : { id: entry.id, digest: "00", group: entry.group };
    const next = frame({ seq: n + 1, at: 0, ...record }, chain);
    ({ chain } = next);
    starts.push(offset);
    offset += next.bytes.length;
    pieces.push(next.bytes);
  }
  writeFileSync(path, Buffer.concat([...pieces, Buffer.alloc(zeros)]));
  return { path, starts, end: offset };
}
const first = { id: "a", group: 1 };
const [second, third] = [
  { id: "b", group: 2 },
  { id: "c", group: 2 },
];
const missing = (path: string, kept: readonly string[], from: Head = emptyHead): readonly string[] =>
  readJournal(path, { ...from, accepted: [] }, (id) => kept.includes(id)).missing.map(({ id }) => id);
const changeAt = (path: string, octets: readonly number[]): void => {
  const bytes = readFileSync(path);
  for (const at of octets) bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
};

describe("a group and the index", () => {
  test("a last group of which the index has nothing was not answered: it is cut off", () => {
    const { path, starts } = journalOf([first, second, third], 5_000);
    expect(missing(path, ["a"])).toEqual([]);
    expect(statSync(path).size).toBe(starts[1]);
  });

  test("one of which the index has a part is whole, and what it lacks is named", () => {
    const { path, end } = journalOf([first, second, third], 5_000);
    expect(missing(path, ["a", "b"])).toEqual(["c"]);
    expect(statSync(path).size).toBe(end);
  });

  test("what a later group or a confirmation proves is named", () => {
    expect(missing(journalOf([first, second, third]).path, ["b", "c"])).toEqual(["a"]);
    expect(missing(journalOf([first, second, third, "confirmed"], 100).path, ["a"])).toEqual(["b", "c"]);
  });

  test("what the index has and a power cut kept from the journal is owed to it, and nothing else", () => {
    const { path } = journalOf([first], 5_000);
    const accepted = ["a", "b"].map((id) => ({ id, digest: "00" }));
    const { owed, missing } = readJournal(path, { ...emptyHead, accepted }, () => true);
    expect({ owed, missing }).toEqual({ owed: [{ id: "b", digest: "00" }], missing: [] });
  });

  test("frames from before there were groups prove themselves", () => {
    const path = join(mkdtempSync(join(tmpdir(), "semrs-journal-")), "accept.journal");
    writeFileSync(path, frame({ seq: 1, at: 0, id: "a", digest: "00" }, emptyHead.chain).bytes);
    expect(missing(path, [])).toEqual(["a"]);
  });
});

describe("frames that do not hold", () => {
  test("pages of the last group that a power cut lost are its torn end", () => {
    const { path, starts } = journalOf([first, second, third], 5_000);
    const bytes = readFileSync(path);
    bytes.fill(0, starts[1], starts[2]);
    writeFileSync(path, bytes);
    expect(missing(path, ["a"])).toEqual([]);
    expect(statSync(path).size).toBe(starts[1]);
  });

  test.each([
    ["body", 20],
    ["length", 3],
    ["chain", -5],
  ])("a changed octet (%s) in front of a later group is damage", (_what, at) => {
    const { path, starts } = journalOf([first, second, third, "confirmed"], 5_000);
    const place = at < 0 ? (starts[1] ?? 0) + at : at;
    changeAt(path, [place]);
    expect(() => missing(path, ["a", "b", "c"])).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
    expect(() => [...walkJournal(path)]).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
  });
});

test("the writing end: groups, one taken back, room that is given back, and all of it read again", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "semrs-journal-")), "accept.journal");
  const accepting = openAppender(openJournalFile(path, "append"), emptyHead, systemClock);
  accepting.reserve();
  await accepting.append([{ id: "a", digest: "00" }]);
  await accepting.append([
    { id: "b", digest: "00" },
    { id: "c", digest: "00" },
  ]);
  accepting.takeBack();
  await accepting.append([{ id: "d", digest: "00" }]);
  expect(statSync(path).size).toBeGreaterThan(500_000);
  accepting.close();
  expect(statSync(path).size).toBeLessThan(1_000);
  expect([...walkJournal(path)].map(({ id }) => id)).toEqual(["a", "d"]);
  expect(missing(path, [])).toEqual(["a", "d"]);
});

test("a group behind a confirmation that a power cut lost is a torn end: both waited for the same sync", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "semrs-journal-")), "accept.journal");
  let confirm = (): void => undefined;
  const clock = {
    now: () => 0,
    after: (_ms: number, work: () => void) => {
      confirm = work;
      return () => undefined;
    },
  };
  const accepting = openAppender(openJournalFile(path, "append"), emptyHead, clock);
  accepting.reserve();
  await accepting.append([{ id: "a", digest: "00" }]);
  confirm();
  await accepting.append([{ id: "b", digest: "00" }]);
  const [a, lost] = [frame({ seq: 1, at: 0, id: "a", digest: "00", group: 1 }, emptyHead.chain)].flatMap((each) => [
    each,
    frame({ seq: 2, at: 0 }, each.chain),
  ]);
  const bytes = readFileSync(path);
  const end = a?.bytes.length ?? 0;
  writeFileSync(path, bytes.fill(0, end, end + (lost?.bytes.length ?? 0)));
  expect(missing(path, ["a"])).toEqual([]);
  expect(statSync(path).size).toBe(end);
});

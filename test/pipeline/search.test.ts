/** Search of the journal: by what a person has in hand, in pages that neither repeat nor leave out, each from an index. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, describe, expect, test } from "vitest";
import { type Searched, searchJournal } from "../../pipeline/search.ts";
import { finishedSql } from "../../store/kept.ts";
import { searchSql } from "../../store/search.ts";
import type { ArrivalRow, Id } from "../../store/store.ts";
import { arrival, folder, freshStore, store } from "../store/fresh.ts";

freshStore();

const patientOf = (n: number): string => `P${n % 3}`;
const token = (patient: string): string => store.tokens.of("patient", "", patient);
let rows: readonly ArrivalRow[];

/** Arrivals of three patients in turn, every fifth refused, each of the first ten with an accession number. */
beforeEach(async () => {
  rows = Array.from({ length: 60 }, (_, n) =>
    arrival({ controlId: `C${n % 20}`, state: n % 5 === 0 ? "refused" : "done", channel: "documents" }),
  );
  for (const [n, row] of rows.entries()) {
    const id = store.newId();
    const joins = n < 10 ? [`accession:${store.tokens.of("reference", "accession", "A-1")}`, "study:1.2"] : [];
    const item = {
      id,
      kind: "document",
      arrival: row.id,
      channel: "documents",
      key: id,
      digest: id,
      blob: "x",
    } as const;
    const rest = {
      state: "sealed",
      code: null,
      reason: null,
      since: row.receivedAt,
      record: n < 30 ? `r${n}` : "many",
      facts: null,
    } as const;
    await store.commit([
      store.arrivals.add(row),
      ...store.items.add({ ...item, ...rest, joins, patients: [token(patientOf(n))] }),
    ]);
  }
});
const pages = (searched: Partial<Searched>, limit: number): readonly (readonly Id[])[] => {
  const all: (readonly Id[])[] = [];
  for (let after: Id | undefined; ; ) {
    const { found, next } = searchJournal(store, { ...searched, after, limit });
    all.push(found.map(({ id }) => id));
    if (next === null) return all;
    after = next;
  }
};
const newest = (fits: (row: ArrivalRow, n: number) => boolean): readonly Id[] =>
  rows
    .filter(fits)
    .map(({ id }) => id)
    .reverse();

describe("each condition, and two together, give all that fit, newest first, page by page", () => {
  test.for([1, 7, 20, 100])("%i a page", (limit) => {
    const is = (searched: Partial<Searched>, fits: (row: ArrivalRow, n: number) => boolean): void => {
      const found = pages(searched, limit);
      expect(found.flat(), JSON.stringify(searched)).toEqual(newest(fits));
      for (const page of found.slice(0, -1)) expect(page.length).toBeLessThanOrEqual(limit);
    };
    is({}, () => true);
    is({ controlId: "C3" }, (row) => row.controlId === "C3");
    is({ patient: "P1" }, (_, n) => n % 3 === 1);
    is({ accession: "A-1" }, (_, n) => n < 10);
    is({ state: "refused" }, (row) => row.state === "refused");
    is({ patient: "P2", state: "refused" }, (row, n) => n % 3 === 2 && row.state === "refused");
    is({ patient: "P0", accession: "A-1" }, (_, n) => n % 3 === 0 && n < 10);
    is({ envelope: "r4" }, (_, n) => n === 4);
    is({ envelope: "many" }, (_, n) => n >= 30);
    is({ envelope: "many", state: "refused" }, (row, n) => n >= 30 && row.state === "refused");
    is({ patient: "nobody" }, () => false);
  });
});

test("times bound it: ids are in their order", () => {
  const [first, last] = [
    Number.parseInt(rows[20]?.id.slice(0, 12) ?? "", 16),
    Number.parseInt(rows[40]?.id.slice(0, 12) ?? "", 16),
  ];
  const [from, until] = [first, last].map((ms) => new Date(ms).toISOString());
  const within = ({ id }: ArrivalRow): boolean => {
    const ms = Number.parseInt(id.slice(0, 12), 16);
    return ms >= first && ms < last;
  };
  expect(pages({ from, until }, 9).flat()).toEqual(newest(within));
  expect(pages({ from, until, envelope: "many" }, 9).flat()).toEqual(newest((row, n) => n >= 30 && within(row)));
  expect(() => pages({ from: "yesterday" }, 9)).toThrow(expect.objectContaining({ code: "QUERY_INVALID" }));
});

test("a patient is found as consent, fetch and erase name them, and as PID-3 does", () => {
  for (const patient of ["HOSPA^P1", "2.16.886.104.100565^P1", "P1^^^HOSPA^MR", "P1^^^&2.16.886&ISO", " P1 "])
    expect(pages({ patient }, 100).flat(), patient).toEqual(newest((_, n) => n % 3 === 1));
});

test("a patient is found under every number that was merged", async () => {
  await store.commit([
    ...store.merges.add({ prior: token("P1"), surviving: token("P2"), at: new Date().toISOString(), facts: null }),
  ]);
  expect(pages({ patient: "P1" }, 7).flat()).toEqual(newest((_, n) => n % 3 !== 0));
});

test("no search goes through a table: an index has the place of each page", () => {
  const db = new DatabaseSync(join(folder, "semrs.db"), { readOnly: true });
  const plans = Object.entries({ ...searchSql, finished: finishedSql }).map(([name, sql]) => {
    const steps = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all();
    return { name, steps: steps.map(({ detail }) => String(detail)) };
  });
  db.close();
  for (const { name, steps } of plans) {
    expect(steps.join("\n"), name).toMatch(/SEARCH \w+ USING (COVERING )?(INDEX|PRIMARY KEY)/);
    expect(
      steps.filter((step) => /SCAN (?!CONSTANT|json_each)|TEMP B-TREE FOR ORDER/.test(step) && name !== "record"),
      name,
    ).toEqual([]);
  }
});

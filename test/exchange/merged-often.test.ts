/** A patient of whom a house has merged hundreds of ids: they are followed once for a page, not once for each of its entries. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accessOf } from "../../exchange/access.ts";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { readCommand } from "../../formats/command.ts";
import { openStore } from "../../store/index.ts";
import type { Store, Token } from "../../store/store.ts";
import { documentOf, enter } from "./indexed.ts";

const [entries, merges] = [60, 100];
const idOf = (extension: string) => ({ root: "1.9", extension });
const surviving = idOf("0");

let store: Store;
/** How often the store was asked to follow merges of a patient who has some. */
let followed = 0;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-merged-"));
  const opened = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
  const counting =
    <A extends readonly unknown[], T>(read: (patients: readonly Token[], ...others: A) => readonly T[]) =>
    (patients: readonly Token[], ...others: A): readonly T[] => {
      const found = read(patients, ...others);
      if (found.length >= merges) followed += 1;
      return found;
    };
  const { same, of } = opened.merges;
  store = { ...opened, merges: { ...opened.merges, same: counting(same), of: counting(of) } };
  for (let at = 1; at <= merges; at += 1) {
    const prior = idOf(String(at));
    const tokens = { prior: tokenOf(store, prior), surviving: tokenOf(store, surviving) };
    await store.commit(store.merges.add({ ...tokens, at: "2026", facts: { prior, surviving } }));
  }
  const own = Array.from({ length: entries }, (_, at) =>
    documentOf(`often${at}`, { patientIds: [surviving, idOf(`of entry ${at} alone`)] }),
  );
  await enter(store, own);
});
afterAll(() => store.close());

test("what a page costs does not grow with entries times merges, and what a patient withholds is withheld from all of them", async () => {
  const asked = { command: "query", query: "findDocuments", patientIds: [surviving], purposeOfUse: "TREAT" };
  const query = readCommand("query", Buffer.from(JSON.stringify(asked)));
  const rules = [{ purposes: ["TREAT"] }] as const;
  const answer = () =>
    answerQuery(store, "hospital-b", query, accessOf(store, rules, "hospital-b", { purposeOfUse: "TREAT" }));
  const found = answer();
  expect(found.entries).toHaveLength(entries);
  expect(found.entries.every(({ entry }) => entry.patientIds.length === merges + 2)).toBe(true);
  expect(followed).toBeLessThan(5);

  const withheld = { id: store.newId(), org: "hospital-a", at: "2026", facts: { decision: "withhold" } };
  await store.commit(store.consents.add({ ...withheld, patient: tokenOf(store, idOf("7")) }));
  expect(answer().entries).toEqual([]);
});

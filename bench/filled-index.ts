/** A national index with millions of entries in it, written past the store: for what is measured, and how it is looked up, at that size. */
import { createSecretKey } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { sealUnder } from "../store/cipher.ts";
import { openStore } from "../store/index.ts";
import { keysIn } from "../test/store/rows.ts";

export type Filled = {
  readonly entries: number;
  /** Each has as many entries; they come in turn, so that a patient's lie apart in time. */
  readonly patients: number;
  /** One of them has so many more. */
  readonly most: number;
};

/** The root and extension of the n-th patient's id. */
export const patientOf = (n: number): { readonly root: string; readonly extension: string } => ({
  root: "2.16.886.101",
  extension: `P${n}`,
});

/** Rows with these random parts would be sorted by them: they are made in that order, so that nothing needs to be. */
const spread = (n: string, of: number): string =>
  `printf('%016x', CAST(${n} AS INTEGER) * ${Math.floor(2 ** 52 / of)})`;
const numbered = (count: number): string =>
  `WITH RECURSIVE many (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM many WHERE i + 1 < ${count})`;
/** A permutation of 0 … count − 1, told by its inverse. */
const shuffled = (count: number): string => `(i * ${coprimeOf(count)}) % ${count}`;

/** Fills a fresh data folder. Entries are sealed: a text as long as a real one for the patient with most, a short one for the others. They are found by document, patient and one reference each. */
export async function fillIndex(folder: string, key: Uint8Array, { entries, patients, most }: Filled): Promise<void> {
  await (await openStore({ folder, key, now: () => new Date() })).close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  const keys = keysIn(folder, key);
  db.exec("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -400000; BEGIN");
  const [short, long] = [64, 1_000].map((size) => Buffer.from(JSON.stringify("x".repeat(size))));
  // One secret for all: each patient has a row and an id of their own, which is what takes time to find.
  const secret = Buffer.alloc(32, 7);
  const wrapped = keys.wrap(secret);
  const keep = db.prepare("INSERT INTO patient_key (patient, id, key) VALUES (?, printf('%032x', ?), ?)");
  const rows = Array.from({ length: patients }, (_, n) => {
    const { root, extension } = patientOf(n);
    return { n, token: keys.tokens.of("patient", root, extension) };
  });
  for (const { n, token } of rows) keep.run(token, n, wrapped);
  const secretKey = createSecretKey(secret);
  db.function("sealed", (id, n, key) => {
    const clear = Number(n) < 2 * most ? long : short;
    return sealUnder(secretKey, `entry\0${String(id)}\0entry\0${String(key)}`, clear ?? Buffer.alloc(0));
  });
  // Every other one of the first is of the patient with most.
  const patientKey = `printf('%032x', iif(i < ${2 * most} AND i % 2 = 0, 0, i % ${patients}))`;
  db.exec(
    `INSERT INTO entry ${numbered(entries)}
      SELECT i + 1, printf('%032x', i), NULL, 'hospital-' || (i % 500), '', '113', NULL, '2026-01-01T00:00:00.000Z', '',
        sealed(printf('%032x', i), i, ${patientKey}), ${patientKey} FROM many`,
  );
  // A token is a version and 24 octets, a patient's number 16.
  const token = `unhex('01' || ${spread("i", entries)} || '${"0".repeat(32)}')`;
  db.exec(`INSERT INTO lookup ${numbered(entries)} SELECT 0, ${token}, ${shuffled(entries)} + 1 FROM many`);
  const each = Math.floor(entries / patients);
  const number = (n: string): string => `${spread(n, patients)} || '${"0".repeat(16)}'`;
  db.exec(
    `INSERT INTO lookup ${numbered(patients * each)}
      SELECT 1, unhex(${number(`i / ${each}`)}), (i % ${each}) * ${patients} + i / ${each} + 1 FROM many`,
  );
  db.exec(`INSERT OR IGNORE INTO lookup ${numbered(most)} SELECT 1, unhex(${number("0")}), i * 2 + 1 FROM many`);
  db.exec(`INSERT INTO lookup ${numbered(entries)} SELECT 2, ${token}, ${shuffled(entries)} + 1 FROM many`);
  const insert = db.prepare(`INSERT INTO patient SELECT ?, ${number("?")}`);
  for (const row of rows.sort((one, other) => (one.token < other.token ? -1 : 1))) insert.run(row.token, row.n);
  db.exec(`UPDATE clock SET n = ${entries}; COMMIT; PRAGMA journal_mode = WAL`);
  db.close();
}

function coprimeOf(count: number): number {
  const divides = (one: number, other: number): number => (other === 0 ? one : divides(other, one % other));
  let candidate = Math.floor(count * 0.618_034);
  while (divides(count, candidate) !== 1) candidate += 1;
  return candidate;
}

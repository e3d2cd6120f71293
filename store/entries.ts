/**
 * What the registry indexes. Entries are rows in the order of registration; what finds them are (token, row) pairs in two levels
 * of one shape: a small one that takes what comes, and a large one, into which it is moved in its order (decision 0012).
 */
import { randomBytes } from "node:crypto";
import { Fault } from "../errors.ts";
import type { By, Entries, EntryRow, NewEntry, Slice, SubmissionRow } from "./entry.ts";
import type { StorageKeys } from "./keys.ts";
import { momentSql, tick } from "./moment.ts";
import type { PatientKeys } from "./patient-keys.ts";
import { openJson, parseJson, sealJson, text, textOrNull } from "./rows.ts";
import { change, type Database, failsWhere, insert, type Row } from "./sqlite.ts";
import type { Change, Token } from "./store.ts";

/** `kind` of a pair; `submission` leads to sets and not to entries. */
const kinds = { document: 0, patient: 1, reference: 2, related: 3, submission: 4 } as const;

/** One level of pairs, newest first. */
const levelSql = (table: "lookup" | "lookup_recent"): string =>
  `SELECT seq FROM ${table} WHERE kind = ?1 AND token = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT +?4`;

export function openEntries(db: Database, keys: StorageKeys, patientKeys: PatientKeys): Entries {
  /** Rows of any of these tokens, newest first, none twice. The small level is read first: what is moved meanwhile is seen in both. */
  const numbers = (kind: number, tokens: readonly Uint8Array[], { moment, below, limit }: Slice): readonly number[] => {
    const end = Math.min(moment + 1, below ?? Number.MAX_SAFE_INTEGER);
    const found = tokens.flatMap((token) =>
      [levelSql("lookup_recent"), levelSql("lookup")].flatMap((sql) =>
        db.all(sql, kind, token, end, limit).map(({ seq }) => Number(seq)),
      ),
    );
    return [...new Set(found)].sort((one, other) => other - one).slice(0, limit);
  };
  /** A random number stands between tokens and entries, so that a rotation rewrites one table. */
  const patientNumbers = (patients: readonly Token[]): readonly Uint8Array[] =>
    db
      .all("SELECT number FROM patient WHERE token IN (SELECT value FROM json_each(?))", JSON.stringify(patients))
      .map((row) => Buffer.from(text(row, "number"), "hex"));
  const tokensOf = (by: By, tokens: readonly Token[]): readonly Uint8Array[] =>
    by === "patient" ? patientNumbers(tokens) : tokens.map(octetsOf);
  /** What an entry says, null where it was removed or its patient erased; what is older than such keys is under the site's. */
  const open = (row: Row, id: string): unknown => {
    const [key, sealed] = [textOrNull(row, "patient_key"), row.entry as Uint8Array];
    if (key === null) return openJson(keys, "entry", id, "entry", row);
    if (sealed.length === 0) return null;
    const clear = patientKeys.open(key, placeOf(id), sealed);
    if (clear) return parseJson(clear);
    if (patientKeys.isErased(key)) return null;
    throw new Fault("STORE_DAMAGED", "a sealed entry does not open; restore the data folder from a backup");
  };
  const seal = ({ id, patients: [patient], entry }: Pick<NewEntry, "id" | "patients" | "entry">) =>
    patient === undefined
      ? { key: null, sealed: sealJson(keys, "entry", id, "entry", entry), changes: [] }
      : patientKeys.seal(patient, placeOf(id), Buffer.from(JSON.stringify(entry)));
  const read = (row: Row, moment: number): EntryRow => {
    const id = text(row, "id");
    const entry = open(row, id);
    return {
      seq: Number(row.seq),
      id,
      submission: textOrNull(row, "submission"),
      org: text(row, "org"),
      key: text(row, "key"),
      form: text(row, "form"),
      status: row.deprecated !== null && Number(row.deprecated) <= moment ? "deprecated" : "approved",
      createdAt: text(row, "created_at"),
      manifestSha256: text(row, "manifest_sha256"),
      isRemoved: entry === null,
      entry,
    };
  };
  const rows = (seqs: readonly number[], { moment }: Pick<Slice, "moment">): readonly EntryRow[] =>
    seqs.flatMap((seq) => {
      const row = db.get("SELECT * FROM entry WHERE seq = ?", seq);
      return row ? [read(row, moment)] : [];
    });
  const settle = settling(db);
  return {
    submit: ({ id, org, name, createdAt }, patients) => [
      tick,
      ...known(patients),
      change(
        `INSERT INTO submission (seq, id, org, name, created_at) VALUES (${momentSql}, ?, ?, ?, ?)
          ON CONFLICT (org, name) DO NOTHING`,
        ...[id, org, name, createdAt],
      ),
      ...patients.map((token) =>
        change(
          `INSERT OR IGNORE INTO lookup_recent SELECT ${kinds.submission}, unhex(number), submission.seq
            FROM patient, submission WHERE token = ? AND org = ? AND name = ?`,
          ...[token, org, name],
        ),
      ),
    ],
    add: (row) => {
      const { key, sealed, changes } = seal(row);
      return [
        tick,
        ...known(row.patients),
        ...changes,
        change(
          `INSERT INTO entry (seq, id, submission, org, key, form, deprecated, created_at, manifest_sha256, entry, patient_key)
            VALUES (${momentSql}, ?, (SELECT id FROM submission WHERE org = ? AND name = ?), ?, ?, ?, iif(${isReplacedSql}, ${momentSql}, NULL), ?, ?, ?, ?)`,
          ...[row.id, row.org, row.submission, row.org, row.key, row.form],
          ...[replacedLedger(row.org), row.key, row.createdAt],
          ...[row.manifestSha256, sealed, key],
        ),
        pair("document", row.key),
        ...[...new Set(row.patients)].map((token) =>
          change(
            `INSERT OR IGNORE INTO lookup_recent SELECT ${kinds.patient}, unhex(number), ${momentSql} FROM patient WHERE token = ?`,
            token,
          ),
        ),
        ...[...new Set(row.references)].map((token) => pair("reference", token)),
        ...[...new Set(row.related)].map((token) => pair("related", token)),
      ];
    },
    deprecate: (id) => [
      tick,
      change(`UPDATE entry SET deprecated = ${momentSql} WHERE id = ? AND deprecated IS NULL`, id),
    ],
    // What finds it stays: its pairs lie by token, and a search for them by row would go through the whole index.
    remove: (id) => [
      tick,
      change(
        `UPDATE entry SET deprecated = coalesce(deprecated, ${momentSql}), entry = ? WHERE id = ?`,
        sealJson(keys, "entry", id, "entry", null),
        id,
      ),
    ],
    forget: (patients) => [
      change("DELETE FROM patient WHERE token IN (SELECT value FROM json_each(?))", JSON.stringify(patients)),
    ],
    // What was removed, or its patient erased, between the question whether it is there and this commit stays so.
    update: (id, { form, patients, entry, sealed: anew }) => {
      const { key, sealed, changes } = seal({ id, patients, entry });
      return [
        ...changes,
        ...(anew ? [change(isAnotherSql, id, anew.before, key)] : []),
        change(
          `UPDATE entry SET form = ?1, entry = ?2, patient_key = ?3,
              manifest_sha256 = coalesce(?5, manifest_sha256), created_at = coalesce(?6, created_at)
            WHERE id = ?4 AND ${isStandingSql}`,
          ...[form, sealed, key, id, anew?.manifestSha256 ?? null, anew?.createdAt ?? null],
        ),
      ];
    },
    replace: (org, key, at) => [
      tick,
      insert("ledger", { destination: replacedLedger(org), key, at }, " ON CONFLICT (destination, key) DO NOTHING"),
      change(
        `UPDATE entry SET deprecated = ${momentSql} WHERE org = ?1 AND deprecated IS NULL AND seq IN (
          SELECT seq FROM lookup_recent WHERE kind = ${kinds.document} AND token = ?2
          UNION ALL SELECT seq FROM lookup WHERE kind = ${kinds.document} AND token = ?2)`,
        org,
        octetsOf(key),
      ),
    ],
    byKey: (key) => {
      const latest = { moment: Number.MAX_SAFE_INTEGER - 1, limit: maxOfOneId };
      return rows(numbers(kinds.document, [octetsOf(key)], latest), latest);
    },
    moment: () => Number(db.get("SELECT n FROM clock")?.n ?? 0),
    find: (by, tokens, slice) => rows(numbers(kinds[by], tokensOf(by, tokens), slice), slice),
    submissions: (patients, slice) =>
      numbers(kinds.submission, patientNumbers(patients), slice).flatMap((seq) => {
        const row = db.get("SELECT * FROM submission WHERE seq = ?", seq);
        return row ? [setOf(row)] : [];
      }),
    submission: (id) => {
      const row = db.get("SELECT * FROM submission WHERE id = ?", id);
      return row && setOf(row);
    },
    contents: (submission, { moment, below, limit }) =>
      db
        .all(
          "SELECT * FROM entry WHERE submission = ? AND seq < ? ORDER BY seq DESC LIMIT +?",
          ...[submission, Math.min(moment + 1, below ?? moment + 1), limit],
        )
        .map((row) => read(row, moment)),
    settle,
    count: () => Number(db.get("SELECT count(*) AS n FROM entry")?.n ?? 0),
  };
}

/** Not removed, nor its patient (whose key is ?3) erased. */
const isStandingSql = "length(entry) > 0 AND (patient_key IS NULL OR patient_key = ?3)";
const isAnotherSql = failsWhere(
  `EXISTS (SELECT 1 FROM entry WHERE id = ?1 AND (manifest_sha256 <> ?2 OR NOT (${isStandingSql})))`,
);

/** Houses that register one document id: more than there are. */
const maxOfOneId = 100_000;

/** What a sealed entry is bound to. */
const placeOf = (id: string): string => `entry\0${id}\0entry`;

const setOf = (row: Row): SubmissionRow => ({
  seq: Number(row.seq),
  id: text(row, "id"),
  org: text(row, "org"),
  name: text(row, "name"),
  createdAt: text(row, "created_at"),
});

/** Documents of a house that another one of it replaces, registered or not. */
const replacedLedger = (org: string): string => `replaced ${org}`;
const isReplacedSql = "EXISTS (SELECT 1 FROM ledger WHERE destination = ? AND key = ?)";

/** A token as octets: the version, then the digest. Half as long as it is written, in the largest table there is. */
const octetsOf = (token: Token): Uint8Array => Buffer.from(`0${token}`, "hex");

/** Patients that have no number yet get one. */
const known = (patients: readonly Token[]): readonly Change[] =>
  [...new Set(patients)].map((token) =>
    change(
      "INSERT INTO patient (token, number) VALUES (?, ?) ON CONFLICT (token) DO NOTHING",
      token,
      randomBytes(16).toString("hex"),
    ),
  );

const pair = (by: Exclude<By, "patient">, token: Token): Change =>
  change(`INSERT INTO lookup_recent (kind, token, seq) VALUES (${kinds[by]}, ?, ${momentSql})`, octetsOf(token));

/** Sweeps the small level from one end to the other, again and again: what is moved together lies together. */
function settling(db: Database): Entries["settle"] {
  type Place = readonly [number, Uint8Array, number];
  const start: Place = [-1, new Uint8Array(), 0];
  let [place, isSweeping] = [start, false];
  return ({ rows, least }) => {
    if (!isSweeping) {
      const { n } = db.get("SELECT count(*) AS n FROM (SELECT 1 FROM lookup_recent LIMIT +?)", least) ?? {};
      if (Number(n) < least) return [];
      [place, isSweeping] = [start, true];
    }
    const end = db.get(
      `SELECT kind, token, seq FROM (
        SELECT * FROM lookup_recent WHERE (kind, token, seq) > (?, ?, ?) ORDER BY kind, token, seq LIMIT +?
      ) ORDER BY kind DESC, token DESC, seq DESC LIMIT 1`,
      ...place,
      rows,
    );
    if (!end) {
      isSweeping = false;
      return [];
    }
    const from = place;
    place = [Number(end.kind), end.token as Uint8Array, Number(end.seq)];
    const between = "WHERE (kind, token, seq) > (?, ?, ?) AND (kind, token, seq) <= (?, ?, ?)";
    return [
      change(`INSERT INTO lookup SELECT * FROM lookup_recent ${between} ORDER BY kind, token, seq`, ...from, ...place),
      change(`DELETE FROM lookup_recent ${between}`, ...from, ...place),
    ];
  };
}

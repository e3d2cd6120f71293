/** Every sealed value of the index, opened once: what changed in it on the disk is no damage that SQLite could see. */
import type { StorageKeys } from "./keys.ts";
import type { PatientKeys } from "./patient-keys.ts";
import { keptOncePlace, type Patterns, patternPlace } from "./patterns.ts";
import { text, textOrNull } from "./rows.ts";
import type { Database, Row } from "./sqlite.ts";

/** Where sealed values are: primary key and sealed columns of a table, and the place that a value is sealed under. */
type Sealed = {
  readonly table: string;
  readonly key: readonly string[];
  readonly columns: readonly string[];
  /** Column with the id of the patient's key that they are under; null: they are under the site's. */
  readonly under?: string;
  place(key: readonly string[], column: string): string;
};

const byColumn = (table: string, ...columns: readonly string[]): Sealed => ({
  table,
  key: ["id"],
  columns,
  place: ([id], column) => `${table}\0${id}\0${column}`,
});

const sealed: readonly Sealed[] = [
  byColumn("arrival", "facts"),
  byColumn("item", "facts"),
  byColumn("record", "manifest", "signature", "entry"),
  byColumn("delivery", "payload"),
  { ...byColumn("entry", "entry"), under: "patient_key" },
  byColumn("commitment", "request"),
  byColumn("consent", "facts"),
  {
    table: "pattern",
    key: ["kind", "month"],
    columns: ["octets"],
    place: ([kind = "", month = ""]) => patternPlace(kind, month),
  },
  { table: "kept_once", key: ["name"], columns: ["octets"], place: ([name = ""]) => keptOncePlace(name) },
  {
    table: "evidence",
    key: ["record", "kind", "org"],
    columns: ["receipt"],
    place: (key) => ["evidence", ...key].join("\0"),
  },
  { table: "message", key: ["org", "message"], columns: ["receipt"], place: (key) => ["message", ...key].join("\0") },
  {
    table: "merge",
    key: ["prior", "surviving"],
    columns: ["facts"],
    place: (key, column) => ["merge", key.join(" "), column].join("\0"),
  },
  {
    table: "relation",
    key: ["org", "key"],
    columns: ["facts"],
    place: (key, column) => ["relation", key.join(" "), column].join("\0"),
  },
];

/** A value that does not open: its table and the id of its row, or of what that row is about. */
export type Unopened = { readonly table: string; readonly column: string; readonly id: string };

const page = 500;

/** Goes through all of them, a page at a time; empty where all of a page open. */
export function* openSealed(
  db: Database,
  keys: StorageKeys,
  patterns: Patterns,
  patientKeys: PatientKeys,
): Generator<readonly Unopened[]> {
  yield* openPatientKeys(db, keys);
  yield* openValues(db, keys, patterns, patientKeys);
}

/** Of patients whom an entry of the audit log alone may name. */
function* openPatientKeys(db: Database, keys: StorageKeys): Generator<readonly Unopened[]> {
  for (let after = ""; ; ) {
    const rows = db.all("SELECT id, patient, key FROM patient_key WHERE id > ? ORDER BY id LIMIT +?", after, page);
    yield rows
      .filter(({ id, patient, key }) => id !== patient && !opens(() => keys.unwrap(key as Uint8Array), key))
      .map((row) => ({ table: "patient_key", column: "key", id: text(row, "id") }));
    const last = rows.at(-1);
    if (rows.length < page || !last) return;
    after = text(last, "id");
  }
}

function* openValues(
  db: Database,
  keys: StorageKeys,
  { unpack }: Patterns,
  patientKeys: PatientKeys,
): Generator<readonly Unopened[]> {
  const openUnder = (key: string | null, place: string, value: Uint8Array): void => {
    if (key === null) unpack(keys.open(place, value));
    else if (!patientKeys.open(key, place, value) && !patientKeys.isErased(key)) throw new Error("damaged");
  };
  for (const { table, key, columns, under, place } of sealed) {
    const [names, marks] = [key.join(", "), key.map(() => "?").join(", ")];
    const sql = `SELECT ${[...key, ...columns, ...(under ? [under] : [])].join(", ")} FROM ${table} WHERE (${names}) > (${marks}) ORDER BY ${names} LIMIT ${page}`;
    for (let after: readonly string[] = key.map(() => ""); ; ) {
      const rows = db.all(sql, ...after);
      yield rows.flatMap((row) => {
        const id = key.map((name) => text(row, name));
        const patientKey = under === undefined ? null : textOrNull(row, under);
        const shut = columns.filter(
          (column) => !opens(() => openUnder(patientKey, place(id, column), row[column] as Uint8Array), row[column]),
        );
        return shut.map((column) => ({ table, column, id: id[0] ?? "" }));
      });
      const last = rows.at(-1);
      if (rows.length < page || !last) break;
      after = key.map((name) => text(last, name));
    }
  }
}

function opens(open: () => unknown, value: Row[string] | undefined): boolean {
  if ((value as Uint8Array).length === 0) return true;
  try {
    open();
    return true;
  } catch {
    return false;
  }
}

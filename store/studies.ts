/** What was said of a study as a whole: how many instances its PACS counts, that it is complete, what of it was rejected. */
import { text } from "./rows.ts";
import { type Database, insert, type Row } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

/** Times are milliseconds since 1970. */
export type StudyRow = {
  readonly uid: string;
  /** Instances that the PACS counted; null: never asked, or no answer. */
  readonly expected: number | null;
  readonly askedAt: number | null;
  /** How often the PACS was asked to send it. */
  readonly pulls: number;
  /** When its sender listed every instance in a request for storage commitment. */
  readonly completeAt: number | null;
};

export type Studies = {
  /** A study of which nothing was said has a row of nulls. */
  find(uid: string): StudyRow;
  mark(uid: string, patch: Partial<Omit<StudyRow, "uid">>): Change;
  /** Rejects an instance by its SOP Instance UID, whether it is here or not; the last word counts. */
  reject(sopInstanceUid: string, note: Id, reason: string): Change;
  rejection(sopInstanceUid: string): { readonly note: Id; readonly reason: string } | undefined;
};

const columns = { expected: "expected", askedAt: "asked_at", pulls: "pulls", completeAt: "complete_at" } as const;

export function openStudies(db: Database): Studies {
  const number = (row: Row | undefined, name: string): number | null => (row?.[name] as number | null) ?? null;
  return {
    find: (uid) => {
      const row = db.get("SELECT * FROM study WHERE uid = ?", uid);
      return {
        uid,
        expected: number(row, "expected"),
        askedAt: number(row, "asked_at"),
        pulls: number(row, "pulls") ?? 0,
        completeAt: number(row, "complete_at"),
      };
    },
    mark: (uid, patch) => {
      const given = Object.entries(columns).flatMap(([key, name]) => {
        const value = patch[key as keyof typeof columns];
        return value === undefined ? [] : [[name, value] as const];
      });
      const sets = given.map(([name]) => `${name} = excluded.${name}`).join(", ");
      return insert("study", { uid, ...Object.fromEntries(given) }, ` ON CONFLICT (uid) DO UPDATE SET ${sets}`);
    },
    reject: (instance, note, reason) =>
      insert(
        "rejection",
        { instance, note, reason },
        " ON CONFLICT (instance) DO UPDATE SET note = excluded.note, reason = excluded.reason",
      ),
    rejection: (instance) => {
      const row = db.get("SELECT note, reason FROM rejection WHERE instance = ?", instance);
      return row ? { note: text(row, "note"), reason: text(row, "reason") } : undefined;
    },
  };
}

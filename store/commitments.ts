/** Requests for storage commitment that were answered and are not reported yet: kept until their report is accepted. */
import type { StorageKeys } from "./keys.ts";
import { openJson, sealJson, text } from "./rows.ts";
import { change, type Database, insert } from "./sqlite.ts";
import type { Change, Id } from "./store.ts";

export type CommitmentRow = {
  readonly id: Id;
  /** On whose listener it came. */
  readonly system: string;
  /** What was asked, and where the report goes; sealed at rest. */
  readonly request: unknown;
};

export type Commitments = {
  add(row: CommitmentRow): Change;
  drop(id: Id): Change;
  /** Those of a system, in the order they came. */
  of(system: string): readonly CommitmentRow[];
};

export function openCommitments(db: Database, keys: StorageKeys): Commitments {
  return {
    add: ({ id, system, request }) =>
      insert("commitment", { id, system, request: sealJson(keys, "commitment", id, "request", request) }),
    drop: (id) => change("DELETE FROM commitment WHERE id = ?", id),
    of: (system) =>
      db.all("SELECT * FROM commitment WHERE system = ? ORDER BY id", system).map((row) => ({
        id: text(row, "id"),
        system,
        request: openJson(keys, "commitment", text(row, "id"), "request", row),
      })),
  };
}

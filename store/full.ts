/** A disk that has no room left, as those say that write to it. */

/** SQLITE_FULL. */
const full = 13;

/** Whether this is what SQLite, or the system, throws of it. */
export function isFull(thrown: unknown): boolean {
  const { errcode, code } = thrown as { readonly errcode?: number; readonly code?: string };
  return errcode === full || code === "ENOSPC";
}

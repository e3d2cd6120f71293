/** What SQLite and the system throw of a disk that has no room left, or that has failed. */
import { hasNoRoom } from "../errors.ts";

/** SQLITE_FULL; and SQLITE_IOERR, SQLITE_CORRUPT, which it says of a read that ended with EIO, too, and SQLITE_NOTADB. */
const full = 13;
const unreadable: ReadonlySet<number> = new Set([10, 11, 26]);
/** A file system that takes itself out of use answers EROFS or EUCLEAN; a device or a share that has gone, the others. */
const failures: ReadonlySet<string> = new Set(["EIO", "EROFS", "EUCLEAN", "ENODEV", "ENXIO", "EREMOTEIO", "ESTALE"]);

type Thrown = { readonly errcode?: number; readonly code?: string };

/** Of SQLite, or of the system. */
export function isFull(thrown: unknown): boolean {
  return (thrown as Thrown).errcode === full || hasNoRoom(thrown);
}
/** Of SQLite: the low octet is the primary code. */
export const isUnreadable = (thrown: unknown): boolean => unreadable.has(((thrown as Thrown).errcode ?? 0) & 0xff);
/** Of the system. */
export const hasFailed = (thrown: unknown): boolean => failures.has((thrown as Thrown).code ?? "");

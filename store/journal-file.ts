/** The accept journal's file: what `node:fs` gives, or a simulated disk. */
import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";

export type JournalFile = {
  /** As an error names it. */
  readonly name: string;
  size(): number;
  /** Fewer octets than asked for at the end of the file. */
  read(offset: number, length: number): Buffer;
  write(bytes: Uint8Array, at: number): void;
  truncate(size: number): void;
  /** Resolves when what was written before is on stable storage; what is written meanwhile may be. */
  sync(): Promise<void>;
  syncNow(): void;
  close(): void;
};

const datasync = promisify(fdatasync);
const modes = { read: "r", repair: "r+", append: constants.O_RDWR | constants.O_CREAT } as const;

/** `read` and `repair` open what is there (undefined where it is not); `append` makes it. */
export function openJournalFile(path: string, mode: "append"): JournalFile;
export function openJournalFile(path: string, mode: keyof typeof modes): JournalFile | undefined;
export function openJournalFile(path: string, mode: keyof typeof modes): JournalFile | undefined {
  if (mode !== "append" && !existsSync(path)) return undefined;
  const file = openSync(path, modes[mode], 0o600);
  return {
    name: path,
    size: () => fstatSync(file).size,
    read: (offset, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
    },
    write: (bytes, at) => {
      for (let written = 0; written < bytes.length; )
        written += writeSync(file, bytes, written, bytes.length - written, at + written);
    },
    truncate: (size) => ftruncateSync(file, size),
    sync: () => datasync(file),
    syncNow: () => fdatasyncSync(file),
    close: () => closeSync(file),
  };
}

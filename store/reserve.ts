/**
 * The disk reserve: below it nothing more is taken in, so that what is queued can still be marked as delivered. And the
 * ballast: a file that takes space for nothing, and gives it back when others have filled even the reserve.
 */
import { randomBytes } from "node:crypto";
import { existsSync, rmSync, statfsSync, statSync } from "node:fs";
import { open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../errors.ts";

export type ReserveState = {
  readonly freeBytes: number;
  readonly minFreeBytes: number;
  /** All inodes of the file system are used: there may be space, and no file can be made. */
  readonly isOutOfFiles: boolean;
  /** Octets of the ballast file. */
  readonly ballastBytes: number;
  /** There is no room for it, or there was none and it has not been laid again. */
  readonly isGivenUp: boolean;
};

export type Reserve = {
  /** Whether something may be taken in; the disk is asked at most once a second. */
  hasSpace(): boolean;
  now(): ReserveState;
  /** Gives the ballast up; false when there is none left. */
  giveUp(): boolean;
  /** Lays the ballast again where there is room for it beside the reserve. */
  lay(): Promise<void>;
};

/** What is answered while the reserve is reached: AR, A700 or 507. */
export const belowReserve = (): Fault =>
  new Fault("STORE_FULL", "the disk reserve is reached; free space or move the data folder");

/** Free space is asked for at most this often. */
const freeSpaceMs = 1_000;
const chunkBytes = 1024 * 1024;

/** Some file systems count none. */
export const isOutOfFiles = (folder: string): boolean => {
  const { files, ffree } = statfsSync(folder);
  return files > 0 && ffree === 0;
};

/** The reserve of a data folder. Sizes in octets. */
export function openReserve(folder: string, minFreeBytes: number, wantedBallastBytes: number): Reserve {
  const ballast = join(folder, "ballast");
  let asked = Number.NEGATIVE_INFINITY;
  let isFree = true;
  let isGivenUp = false;
  let laying: Promise<void> | undefined;
  const free = (): number => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  };
  const laid = (): number => (existsSync(ballast) ? statSync(ballast).size : 0);

  const lay = async (): Promise<void> => {
    if (laid() === wantedBallastBytes) return;
    rmSync(ballast, { force: true });
    isGivenUp = wantedBallastBytes > 0 && free() < minFreeBytes + wantedBallastBytes;
    if (isGivenUp || wantedBallastBytes === 0) return;
    const beside = `${ballast}.new`;
    try {
      const file = await open(beside, "w", 0o600);
      try {
        // Nothing that a file system could compress away.
        const chunk = randomBytes(chunkBytes);
        for (let left = wantedBallastBytes; left > 0; left -= chunkBytes)
          await file.write(chunk, 0, Math.min(left, chunkBytes));
      } finally {
        await file.close();
      }
      await rename(beside, ballast);
    } catch {
      // Somebody else took the room: it is tried again when there is some.
      await unlink(beside).catch(() => undefined);
    }
  };

  return {
    hasSpace: () => {
      if (performance.now() - asked > freeSpaceMs) {
        isFree = free() >= minFreeBytes;
        asked = performance.now();
      }
      return isFree;
    },
    now: () => ({
      freeBytes: free(),
      minFreeBytes,
      isOutOfFiles: isOutOfFiles(folder),
      ballastBytes: laid(),
      isGivenUp,
    }),
    giveUp: () => {
      const had = laid() > 0;
      isGivenUp ||= had;
      rmSync(ballast, { force: true });
      return had;
    },
    lay: async () => {
      laying ??= lay().finally(() => {
        laying = undefined;
      });
      await laying;
    },
  };
}

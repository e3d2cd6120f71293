/** The writing end of the accept journal: groups of acceptances into room that is there already, so that a sync moves no metadata. */
import { type Accepted, type Confirmation, frame, type Head, maxGroup } from "./accept-journal.ts";
import type { Clock } from "./clock.ts";
import type { JournalFile } from "./journal-file.ts";
import type { Acceptance } from "./store.ts";

/** Zeros are written ahead by this much, page by page: of a large piece the kernel would write more than the page that changed. */
const [roomBytes, pageBytes] = [1024 * 1024, 4096];
/** What one group may take: the frame of an acceptance is smaller than this. */
const groupBytes = maxGroup * 256;
/** How long nothing has to come until what came is confirmed by a frame of its own. */
const quietMs = 200;

export type Appender = {
  /** Makes room for one group, before anything of it is written; throws what the file system throws. */
  reserve(): void;
  /** Where the chain stands, as the index keeps it. */
  checkpoint(): Uint8Array;
  /** Writes them at once; resolves when they are on the disk, undefined where there is nothing to sync. */
  append(accepted: readonly Acceptance[]): Promise<void> | undefined;
  /** The last group was not committed: as if it had never been written. */
  takeBack(): void;
  /** Confirms what was written and gives the room back. */
  close(): void;
};

/** Continues an accept journal behind `head`. */
export function openAppender(file: JournalFile, head: Head, clock: Pick<Clock, "now" | "after">): Appender {
  let { seq, chain, offset } = head;
  let room = offset;
  let before = head;
  let isConfirmed = true;
  // A checkpoint is of octets that are on the disk.
  let isSynced = true;
  let callOff = (): void => undefined;

  const add = (records: readonly (Accepted | Confirmation)[]): void => {
    let after = chain;
    const frames = records.map((record) => {
      const next = frame(record, after);
      after = next.chain;
      return next.bytes;
    });
    const bytes = Buffer.concat(frames);
    file.write(bytes, offset);
    before = { seq, chain, offset };
    chain = after;
    offset += bytes.length;
    seq += records.length;
    isSynced = false;
  };
  const reserve = (): void => {
    if (room - offset >= 2 * groupBytes) return;
    const zeros = new Uint8Array(pageBytes);
    for (const end = room + roomBytes; room < end; room += pageBytes) file.write(zeros, room);
  };
  const confirm = (): void => {
    callOff();
    if (isConfirmed || room - offset < groupBytes) return;
    // Synced with the next commit: it only shortens the time in which a loss of the index could be taken for a group that was never answered.
    add([{ seq: seq + 1, at: clock.now() }]);
    isConfirmed = true;
  };

  return {
    reserve,
    checkpoint: () => Buffer.from(JSON.stringify({ seq, chain: Buffer.from(chain).toString("hex"), offset })),
    append: (accepted) => {
      callOff();
      if (accepted.length > 0) {
        const [at, group] = [clock.now(), seq + 1];
        add(accepted.map(({ id, digest }, n) => ({ seq: group + n, at, id, digest, group })));
        isConfirmed = false;
      }
      if (isSynced) return undefined;
      return file.sync().then(() => {
        isSynced = true;
        if (!isConfirmed) callOff = clock.after(quietMs, confirm);
      });
    },
    takeBack: () => {
      file.write(new Uint8Array(offset - before.offset), before.offset);
      ({ seq, chain, offset } = before);
      isConfirmed = true;
      file.syncNow();
    },
    close: () => {
      confirm();
      file.truncate(offset);
      file.syncNow();
      file.close();
    },
  };
}

/** The writing end of the accept journal: groups of acceptances into room that is there already, so that a sync moves no metadata. */
import { type Accepted, type Confirmation, frame, type Head, maxGroup } from "./accept-journal.ts";
import type { Clock } from "./clock.ts";
import type { JournalFile } from "./journal-file.ts";
import type { Acceptance } from "./store.ts";

/** Zeros are written ahead by this much, page by page: of a large piece the kernel would write more than the page that changed. */
const pageBytes = 4096;
/** `group`: what one group may take, where the frame of an acceptance is smaller than 256 octets. */
const roomOf = { ahead: 1024 * 1024, group: maxGroup * 256 } as const;
/** How long nothing has to come until what came is confirmed by a frame of its own. */
const quietMs = 200;

export type Appender = {
  /** Makes room for one group, before anything of it is written; throws what the file system throws. */
  reserve(): void;
  /** Where the chain stands on the disk, and what is about to be added: as the index keeps it. */
  checkpoint(accepted: readonly Acceptance[]): Uint8Array;
  /** Writes them at once; resolves when they are on the disk, undefined where there is nothing to sync. */
  append(accepted: readonly Acceptance[]): Promise<void> | undefined;
  /** The last group was not committed: as if it had never been written. */
  takeBack(): void;
  /** Confirms what was written and gives the room back. */
  close(): void;
};

/** Continues an accept journal behind `head`. Sizes in octets. */
export function openAppender(
  file: JournalFile,
  head: Head,
  clock: Pick<Clock, "now" | "after">,
  size: { readonly ahead: number; readonly group: number } = roomOf,
): Appender {
  let { seq, chain, offset } = head;
  let room = offset;
  let before = head;
  let isConfirmed = true;
  // A checkpoint is of octets that are on the disk: a confirmation is not until the next sync.
  let synced = head;
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
  };
  const reserve = (): void => {
    if (room - offset >= 2 * size.group) return;
    const zeros = new Uint8Array(pageBytes);
    for (const end = room + size.ahead; room < end; room += pageBytes) file.write(zeros, room);
  };
  const confirm = (): void => {
    callOff();
    if (isConfirmed || room - offset < size.group) return;
    // Synced with the next commit: it only shortens the time in which a loss of the index could be taken for a group that was never answered.
    add([{ seq: seq + 1, at: clock.now() }]);
    isConfirmed = true;
  };

  return {
    reserve,
    checkpoint: (accepted) =>
      Buffer.from(JSON.stringify({ ...synced, chain: Buffer.from(synced.chain).toString("hex"), accepted })),
    append: (accepted) => {
      if (accepted.length > 0) {
        callOff();
        // A confirmation that was not synced yet is of this group: a power cut may leave the rest of it and not that.
        const [at, first, group] = [clock.now(), seq + 1, synced.seq + 1];
        add(accepted.map(({ id, digest }, n) => ({ seq: first + n, at, id, digest, group })));
        isConfirmed = false;
      }
      if (synced.offset === offset) return undefined;
      const written = { seq, chain, offset };
      return file.sync().then(() => {
        synced = written;
        callOff();
        if (!isConfirmed) callOff = clock.after(quietMs, confirm);
      });
    },
    takeBack: () => {
      file.write(new Uint8Array(offset - before.offset), before.offset);
      ({ seq, chain, offset } = before);
      isConfirmed = true;
      file.syncNow();
      synced = before;
    },
    close: () => {
      confirm();
      file.truncate(offset);
      file.syncNow();
      synced = { seq, chain, offset };
      file.close();
    },
  };
}

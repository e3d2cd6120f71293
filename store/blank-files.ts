/**
 * Empty files, made ahead: their names are on stable storage before the first octet of a body is written, one wait for
 * several. What is written to one is there when the write has ended (O_DSYNC), and past the page cache where the file system
 * takes that (O_DIRECT). Those without a row go at the next start.
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, existsSync, fsync, mkdirSync, openSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { direct } from "./direct.ts";

/** `flags`: what of O_DSYNC and O_DIRECT its descriptor has. */
export type BlankFile = {
  readonly name: string;
  readonly path: string;
  readonly descriptor: number;
  readonly flags: number;
};

export type BlankFiles = {
  /** One that nobody else has; the taker closes it. Throws what the file system throws. */
  take(): Promise<BlankFile>;
  /** The file system does not take O_DIRECT: those made from here on are without. */
  forgoDirect(): void;
  /** Removes those that nobody took. */
  close(): void;
};

const sync = promisify(fsync);
const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC;
/** Those that stay with a descriptor. */
const lasting = constants.O_DSYNC | direct;
/** Made at once, in one folder; the next ones are begun when half of them are gone. */
const batch = 16;

/** Where a file of this name lies below `root`. */
export const pathOf = (root: string, name: string): string => join(root, name.slice(0, 2), name);

/** Files below `root`, in its up to 256 folders; none is made before the first is asked for. */
export function openBlankFiles(root: string): BlankFiles {
  const ready: BlankFile[] = [];
  let making: Promise<void> | undefined;
  let isClosed = false;
  let past = direct;

  const create = (name: string): BlankFile => {
    const path = pathOf(root, name);
    try {
      return { name, path, descriptor: openSync(path, flags | past, 0o600), flags: (flags | past) & lasting };
    } catch (thrown) {
      if (past === 0 || !isRefusal(thrown)) throw thrown;
    }
    // Linux refuses the descriptor when the file is made already.
    past = 0;
    rmSync(path, { force: true });
    return create(name);
  };
  const make = async (): Promise<void> => {
    // Of one batch all names are beside each other, in the index too.
    const prefix = randomBytes(15).toString("hex");
    const folder = dirname(pathOf(root, prefix));
    const made: BlankFile[] = [];
    try {
      const isNew = !existsSync(folder);
      if (isNew) mkdirSync(folder, { mode: 0o700, recursive: true });
      for (let n = 0; n < batch; n += 1) {
        made.push(create(`${prefix}${n.toString(16)}`));
      }
      await syncFolder(folder);
      if (isNew) await syncFolder(root);
    } catch (thrown) {
      made.forEach(discard);
      throw thrown;
    }
    if (isClosed) made.forEach(discard);
    else ready.push(...made);
  };
  const more = (): Promise<void> => {
    making ??= make().finally(() => (making = undefined));
    return making;
  };

  /** Behind whoever took one, so that he has it sooner. Who finds none hears what went wrong. */
  const ahead = (): void => {
    if (!isClosed) more().catch(() => undefined);
  };

  return {
    take: async () => {
      for (;;) {
        const next = ready.shift();
        if (next && ready.length === batch / 2) setImmediate(ahead);
        if (next) return next;
        await more();
      }
    },
    forgoDirect: () => {
      past = 0;
    },
    close: () => {
      isClosed = true;
      ready.splice(0).forEach(discard);
    },
  };
}

/** Closes and removes it; one that a failing disk does not let go is swept at the next start. */
export function discard({ path, descriptor }: BlankFile): void {
  closeSync(descriptor);
  try {
    rmSync(path, { force: true });
  } catch {
    // Whoever gives it up says why, and that is what has to be heard.
  }
}

/** What a file system says of O_DIRECT that it does not take, when a file is opened or written. */
export const isRefusal = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException).code === "EINVAL";

/** The names in a folder are durable. */
async function syncFolder(folder: string): Promise<void> {
  const descriptor = openSync(folder, "r");
  try {
    await sync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

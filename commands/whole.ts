/** What a verb writes is there when it is whole: until then it has another name, and goes with the verb, however that ends. */
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Fault, hasNoRoom } from "../errors.ts";
import { makeFolderSync } from "../folder.ts";
import { writeFileOf } from "./envelope/files.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const passing = new Set<string>();

/** A new folder, removed at the end of its scope, or when a signal ends the process before: nobody else would look for it. */
export const passingFolder = (name: string): Passing => passingBy(() => mkdtempSync(join(tmpdir(), name)));

type Passing = Disposable & { readonly path: string };

function passingBy(make: () => string): Passing {
  // Heard before anything is there: a signal in between would end it unheard.
  if (passing.size === 0) for (const signal of signals) process.on(signal, end);
  const path = make();
  passing.add(path);
  return {
    path,
    [Symbol.dispose]: () => {
      remove(path);
      passing.delete(path);
      if (passing.size === 0) for (const signal of signals) process.off(signal, end);
    },
  };
}

/** As it would have ended unheard, so that a shell sees 130 or 143. */
function end(signal: NodeJS.Signals): void {
  for (const each of signals) process.off(each, end);
  try {
    // What is being written there at this moment may come behind the look at a folder.
    for (const path of passing) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  } finally {
    process.kill(process.pid, signal);
  }
}

/** Whether something is written to it as it comes: a pipe, a device. Put in its place, a file would be there for all others, too. */
export const isStream = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === false;

/** One file. */
export async function wholeFile(out: string, write: (path: string) => Promise<void>): Promise<void> {
  if (isStream(out)) return await write(out);
  const place = placeOf(out);
  const beside = `${place}.partial`;
  remove(beside);
  using _ = passingBy(() => beside);
  try {
    await write(beside);
    renameSync(beside, place);
  } catch (thrown) {
    if (hasNoRoom(thrown))
      throw new Fault("STORE_FULL", `the disk of ${out} is full; free space and try again`, { cause: thrown });
    throw ofOut(thrown, out);
  }
}

export type Put = (name: string, body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) => Promise<void>;

/** All files of a folder that is empty or not there yet, and their names. */
export async function wholeFolder(out: string, work: (put: Put) => Promise<void>): Promise<readonly string[]> {
  checkEmpty(out);
  const place = placeOf(resolve(out));
  const beside = join(dirname(place), `.${process.pid}.${randomUUID()}.partial`);
  using _ = passingBy(() => beside);
  const names: string[] = [];
  try {
    makeFolderSync(beside, 0o700);
    await work(async (name, body) => {
      await writeFileOf(join(beside, name), body, 0o600);
      names.push(name);
    });
    // Takes the place of an empty folder, and of no other.
    renameSync(beside, place);
  } catch (thrown) {
    throw ofOut(thrown, out);
  }
  return names;
}

/** QUERY_INVALID for a folder that holds something, and for "": an unset variable of a script, not the folder that it happens to be in. */
export function checkEmpty(out: string): void {
  if (out === "") throw new Fault("QUERY_INVALID", "--out is empty; name a folder");
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new Fault("QUERY_INVALID", `${out} is not empty; name another folder with --out`);
}

/** Past a link to what is there. */
const placeOf = (path: string): string => (existsSync(path) ? realpathSync(path) : path);

/** What the system says of the name that it had until then is about the one that a person gave. */
function ofOut(thrown: unknown, out: string): unknown {
  if (thrown instanceof Error && "path" in thrown) Object.assign(thrown, { path: out, dest: out });
  return thrown;
}

/** Node has no code for a name that is too long to be removed. */
function remove(path: string): void {
  if (existsSync(path)) rmSync(path, { recursive: true, force: true });
}

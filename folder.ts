/** Makes folders: what Node has for it (`recursive`) never ends where a disk makes none and says ENOENT, as /proc does, and an automounter. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes the folder, and those above it, unless it is there. */
export function makeFolderSync(path: string, mode = 0o777): void {
  const above = dirname(path);
  try {
    mkdirSync(path, { mode });
  } catch (thrown) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT" || existsSync(above)) throw thrown;
    makeFolderSync(above, mode);
    makeFolderSync(path, mode);
  }
}

/** The same beside the loop: the disk may be another machine's. */
export async function makeFolder(path: string): Promise<void> {
  const above = dirname(path);
  try {
    await mkdir(path);
  } catch (thrown) {
    if (await isFolder(path)) return;
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT" || (await isFolder(above))) throw thrown;
    await makeFolder(above);
    await makeFolder(path);
  }
}

const isFolder = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

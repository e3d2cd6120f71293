/** One owner a data folder, wherever it runs: process numbers of another container say nothing here. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { folder, freshStore, open, store } from "./fresh.ts";

freshStore();

const root = join(import.meta.dirname, "..", "..");
/** Opens the store of a folder, says so, and has it until it is ended. */
const holder = `
  import { openStore } from ${JSON.stringify(join(root, "store", "index.ts"))};
  await openStore({ folder: process.argv[2], key: Buffer.alloc(32, 5), now: () => new Date() });
  process.stdout.write("open");
  setInterval(() => undefined, 60_000);
`;

const elsewhere = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"] as const;

test.for<[string, readonly string[]]>([
  ["beside this one", []],
  // Namespaces need root.
  ...(process.getuid?.() === 0 ? [["with process numbers of its own", elsewhere] as [string, readonly string[]]] : []),
])("a process %s keeps everybody else out until it has ended, however it ends", async ([_where, under]) => {
  await store.close();
  const program = join(dirname(folder), "holder.mjs");
  writeFileSync(program, holder);
  const [command = "", ...args] = [...under, process.execPath, program, folder];
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  await once(child.stdout, "data");
  await expect(open()).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
  await expect(open()).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
  child.kill("SIGKILL");
  await ended;
  await open();
});

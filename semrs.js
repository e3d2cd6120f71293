#!/usr/bin/env node
// Entry that any Node can read: on an old one it goes on with the Node that npm installed beside it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const [major, minor] = process.versions.node.split(".").map(Number);

if (major > 24 || (major === 24 && minor >= 15)) {
  await import("./main.ts");
} else {
  const own = join(here, "node_modules", "node", "bin", "node");
  if (existsSync(own)) {
    const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
    child.on("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
  } else {
    process.stderr.write(
      `semrs needs Node 24.15 or newer; this is ${process.versions.node}.\nRun npm ci in ${here} (it brings its own Node), or install Node 24.\n`,
    );
    process.exit(69);
  }
}

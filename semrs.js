#!/usr/bin/env node
// Entry that any Node can read: on an old one it goes on with the Node that npm installed beside it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const [major, minor] = process.versions.node.split(".").map(Number);

if (major > 24 || (major === 24 && minor >= 15)) {
  if (process.argv[2] === "run") await import("./lean.js");
  // Modules are stripped of types and compiled once, not at each start, and their workers' as well. The cache lies beside the
  // code: who may write there may change the code itself. Where it cannot be written, every start does it anew.
  const { enableCompileCache } = await import("node:module"); // an old Node has none, and could not read this file
  const { directory } = enableCompileCache(join(here, "node_modules", ".cache", "semrs"));
  if (directory) process.env.NODE_COMPILE_CACHE ??= directory;
  await import("./main.ts");
} else {
  const own = join(here, "node_modules", "node", "bin", "node");
  if (existsSync(own)) {
    const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: "inherit" });
    let heard;
    // A terminal interrupts both of us: passed on as it came it would be a second Ctrl-C, which ends a house at once.
    for (const [signal, passed] of [
      ["SIGINT", "SIGTERM"],
      ["SIGTERM", "SIGTERM"],
      ["SIGHUP", "SIGHUP"],
    ])
      process.on(signal, () => {
        heard = signal;
        child.kill(passed);
      });
    // A signal that ended it is told as a shell tells of one.
    child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[heard ?? signal]));
  } else {
    process.stderr.write(
      `semrs needs Node 24.15 or newer; this is ${process.versions.node}.\nRun npm ci in ${here} (it brings its own Node), or install Node 24.\n`,
    );
    process.exit(69);
  }
}

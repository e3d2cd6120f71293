/** A verb that a signal ends, or whose disk is full: it ends at once and as that, leaves nothing half made, and another attempt works. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { beforeAll, expect, test } from "vitest";
import { disks, makeDisk } from "../faults/disk.ts";
import { until } from "../sites.ts";
import { root, semrs } from "./cli.ts";
import { at, cwd, envelopeFolder, fresh, opened, opening, run, sealing, sealRecord } from "./envelope-folder.ts";
import { one, record, shipped } from "./tested.ts";

envelopeFolder();
beforeAll(async () => {
  await sealRecord();
});

/** A verb with a folder of its own for what passes. */
function begin(args: readonly string[], folder = cwd, flags: readonly string[] = []) {
  const passing = mkdtempSync(join(tmpdir(), "semrs-passing-"));
  const env = { ...process.env, TMPDIR: passing };
  const child = spawn(process.execPath, [...flags, join(root, "semrs.js"), ...args], { cwd: folder, env });
  child.stdin.on("error", () => undefined);
  for (const stream of [child.stdout, child.stderr]) stream.resume();
  return { child, passing: () => readdirSync(passing) };
}
const partial = (): readonly string[] => readdirSync(cwd).filter((name) => name.endsWith(".partial"));

async function ended(child: ChildProcess, signal: NodeJS.Signals) {
  const closed = once(child, "close");
  child.kill(signal);
  await closed;
  return child.signalCode;
}

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("open: %s leaves none of the record in clear", async (signal) => {
  const out = fresh();
  const envelope = readFileSync(at("record.eml"));
  const { child, passing } = begin([...opening, "--out", out]);
  child.stdin.write(envelope.subarray(0, envelope.length - 1));
  await until("parts are opened", () => partial().some((name) => readdirSync(at(name)).length > 0));
  expect(await ended(child, signal)).toBe(signal);
  expect({ partial: partial(), passing: passing(), out: existsSync(at(out)) }).toEqual({
    ...{ partial: [], passing: [], out: false },
  });
  expect((await run(...opening, "--out", out, "record.eml")).exit).toBe(0);
  expect(opened(out).length).toBe(3);
});

test("test: SIGINT leaves no house", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-interrupted-"));
  writeFileSync(join(folder, "channels.yaml"), shipped);
  const [what] = one(record, { routed: ["nobody"] }).tests;
  const tests = { site: "hospital-a", tests: [{ ...what, within: "1h" }] };
  writeFileSync(join(folder, "channels.test.yaml"), JSON.stringify(tests));
  const { child, passing } = begin(["test"], folder);
  await until("houses run", () => passing().some((name) => /^semrs-test-(?!pki)/.test(name)));
  expect(await ended(child, "SIGINT")).toBe("SIGINT");
  expect(passing()).toEqual([]);
}, 60_000);

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("with an old Node, which goes on with its own: %s is exit %i", async (signal, exit) => {
  const flags = ["--import", join(root, "test/old-node.ts")];
  const { child, passing } = begin(["seal", ...sealing.slice(1), "--document", "-"], cwd, flags);
  await until("it waits for the document", () => passing().length > 0);
  expect([await ended(child, signal), child.exitCode]).toEqual([null, exit]);
  await until("what passed is gone", () => passing().length === 0);
});

test("a pipe with a name is written to, and stays one", async () => {
  execFileSync("mkfifo", [at("pipe")]);
  const { child } = begin([...sealing, "--out", "pipe"]);
  // Whoever writes a file in its place leaves this waiting for ever.
  writeFileSync(at("piped.eml"), execFileSync("timeout", ["20", "cat", at("pipe")]));
  await once(child, "close");
  expect([child.exitCode, statSync(at("pipe")).isFIFO(), existsSync(at("pipe.partial"))]).toEqual([0, true, false]);
  expect((await run(...opening, "--out", fresh(), "piped.eml")).exit).toBe(0);
});

test("a standard output that takes no more is told in one line, and is no success", async () => {
  const full = openSync("/dev/full", "w");
  const child = spawn(process.execPath, [join(root, "semrs.js"), "help"], { stdio: ["ignore", full, "pipe"] });
  closeSync(full);
  const err = Buffer.concat(await (child.stderr as Readable).toArray()).toString();
  if (child.exitCode === null) await once(child, "exit");
  expect([child.exitCode, err]).toEqual([
    69,
    "semrs: standard output cannot be written (ENOSPC); what was printed is not whole\n",
  ]);
});

const disk = disks();
test.skipIf(!disk.available)(
  `an authority whose disk is full keeps its revocation list and its keys ${disk.reason}`,
  async () => {
    using small = makeDisk(16);
    const pki = join(small.path, "pki");
    expect((await semrs(["pki", "init", pki, "--site", "hospital-a"])).exit).toBe(0);
    const before = readdirSync(pki, { recursive: true });
    const list = readFileSync(join(pki, "ca.crl"));
    const full = fill(small.path);
    const certificate = join(pki, "hospital-a", "tls.crt");
    const said = { exit: 69, err: expect.stringContaining("does not fit: the disk is full") };
    expect(await semrs(["pki", "revoke", pki, certificate])).toMatchObject(said);
    expect(await semrs(["pki", "csr", join(pki, "hospital-a"), "--site", "hospital-a"])).toMatchObject(said);
    expect(readdirSync(pki, { recursive: true })).toEqual(before);
    expect(readFileSync(join(pki, "ca.crl"))).toEqual(list);
    writeFileSync(full, "");
    expect((await semrs(["pki", "revoke", pki, certificate])).exit).toBe(0);
  },
);

/** Takes every octet that the disk still has. */
function fill(folder: string): string {
  const file = join(folder, "filler");
  for (const bytes of [1 << 20, 1 << 12, 1]) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: "a" });
    } catch (thrown) {
      expect((thrown as NodeJS.ErrnoException).code).toBe("ENOSPC");
    }
  }
  return file;
}

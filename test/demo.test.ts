/** What a newcomer and a script do: `semrs demo --once`, `--json`, a second start, a busy port, Ctrl-C. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Ready } from "../commands/demo/index.ts";
import { until } from "./sites.ts";

const root = join(import.meta.dirname, "..");
const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGTERM");
    await once(child, "exit");
  }
});

type Run = {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly ended: Promise<number | null>;
};

function semrs(args: readonly string[], env: Record<string, string> = {}): Run {
  const child = spawn(process.execPath, [join(root, "semrs.js"), ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let [out, err] = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (err += text));
  return { child, out: () => out, err: () => err, ended: once(child, "close").then(([code]) => code as number | null) };
}
const folder = (): string => join(mkdtempSync(join(tmpdir(), "semrs-demo-")), "demo");
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("--once: the records travel, every digest is equal, and it ends with 0", async () => {
  const run = semrs(["demo", "--once", "--folder", folder()]);
  expect(await run.ended, run.out() + run.err()).toBe(0);
  const out = run.out();
  for (const step of ["1", "2", "3", "4", "5", "6", "7"]) expect(out).toMatch(new RegExp(`^ {2}${step} {2}`, "m"));
  expect(out.match(/ equal$/gm)).toHaveLength(26);
  expect(out).toMatch(/in clear 0 · queued 0 · held 0/);
  expect(out).not.toContain("\u001b[");
});

test("--json --no-sample: one line for a script, stays up, and SIGTERM ends all three", async () => {
  const place = folder();
  const run = semrs(["demo", "--json", "--no-sample", "--folder", place]);
  await until("the line of JSON", () => run.out().includes("\n"));
  const lines = run.out().trim().split("\n");
  expect(lines).toHaveLength(1);
  const ready = JSON.parse(lines[0] ?? "") as Ready;
  expect(ready).toMatchObject({ ready: true });
  expect(ready["hospital-a"].dicom).toMatch(/^SEMRS_A@127\.0\.0\.1:\d+$/);
  const pids = [ready["hospital-a"].pid, ready["hospital-b"].pid, ready.registry.pid];
  expect(pids.every(isAlive)).toBe(true);

  const second = semrs(["demo", "--folder", place]);
  expect(await second.ended).toBe(69);
  expect(second.err()).toMatch(/a demo runs already in .* \(process \d+\); stop it with Ctrl-C/);

  run.child.kill("SIGTERM");
  expect(await run.ended).toBe(0);
  expect(pids.some(isAlive)).toBe(false);
});

test("a busy port is named, with what to do", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const run = semrs(["demo", "--once", "--folder", folder()], { A_HIS: String(port) });
  expect(await run.ended).toBe(69);
  expect(run.err()).toMatch(new RegExp(`port ${port} \\(A_HIS\\) is busy`));
  taken.close();
});

test("a site without its keys, or with a wrong file, says what is missing and ends with 78", async () => {
  const run = semrs(["run", "--config", join(root, "channels.yaml")], {
    SITE: "hospital-a",
    PKI: folder(),
    DATA: folder(),
  });
  expect(await run.ended).toBe(78);
  expect(run.err()).toMatch(/ca\.crt does not exist; "semrs check" tells what is missing/);
});

test("an unknown verb is a usage error, 64; help and version are not", async () => {
  expect(await semrs(["fly"]).ended).toBe(64);
  expect(await semrs(["--version"]).ended).toBe(0);
  expect(await semrs(["demo", "--help"]).ended).toBe(0);
});

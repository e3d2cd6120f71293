/** What a verb removes: what it has made itself, and nothing that a person has. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { until } from "../sites.ts";
import { root, semrs } from "./cli.ts";
import { at, cwd, envelopeFolder, fresh, opened, opening, run, sealing, sealRecord } from "./envelope-folder.ts";

envelopeFolder();
beforeAll(sealRecord);

test("open: an empty name is not the folder that one is in, which was replaced by the record", async () => {
  const before = readdirSync(cwd, { recursive: true });
  expect(await run(...opening, "--out", "", "record.eml")).toMatchObject({
    exit: 64,
    err: "semrs open: --out is empty; name a folder\n",
  });
  expect(readdirSync(cwd, { recursive: true })).toEqual(before);
});

test("open: what somebody put into the folder meanwhile stays, and the record does not come", async () => {
  const out = fresh();
  mkdirSync(at(out));
  const child = spawn(process.execPath, [join(root, "semrs.js"), ...opening, "--out", out], { cwd });
  let err = "";
  child.stderr.on("data", (chunk: Buffer) => (err += chunk));
  const envelope = readFileSync(at("record.eml"));
  child.stdin.write(envelope.subarray(0, envelope.length - 1));
  await until("it is opened", () => readdirSync(cwd).some((name) => name.endsWith(".partial")));
  writeFileSync(at(`${out}/mine`), "");
  child.stdin.end(envelope.subarray(-1));
  await once(child, "close");
  expect([child.exitCode, err]).toEqual([64, expect.stringContaining(`${out} is not empty`)]);
  expect(readdirSync(at(out))).toEqual(["mine"]);
  expect(readdirSync(cwd).filter((name) => name.endsWith(".partial"))).toEqual([]);
  const empty = fresh();
  mkdirSync(at(empty));
  expect((await run(...opening, "--out", empty, "record.eml")).exit).toBe(0);
  expect(opened(empty).length).toBe(3);
});

test.each([
  ["demo", "--once"],
  ["demo", "--clean"],
])("%s %s: a folder with what no demo has made is left alone, and an empty name is none", async (...verb) => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-mine-"));
  for (const name of ["pki", "data"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "pki", "storage.key"), "mine");
  expect(await semrs([...verb, "--folder", folder])).toMatchObject({
    exit: 64,
    err: expect.stringContaining("holds what no demo has made"),
  });
  expect(readFileSync(join(folder, "pki", "storage.key"), "utf8")).toBe("mine");
  expect((await semrs([...verb, "--folder", ""], { cwd: folder })).exit).toBe(64);
  expect(readdirSync(folder).sort()).toEqual(["data", "pki"]);
});

test("demo --clean removes what a demo has made, of before it was marked, too", async () => {
  for (const name of [".semrs-demo", "receivers"]) {
    const folder = mkdtempSync(join(tmpdir(), "semrs-demo-"));
    mkdirSync(join(folder, "pki"));
    mkdirSync(join(folder, name));
    expect((await semrs(["demo", "--clean", "--folder", folder])).exit).toBe(0);
    expect(existsSync(folder)).toBe(false);
  }
});

test("a name that is too long is told as that", async () => {
  const long = join(cwd, "x".repeat(300));
  const said = { exit: 64, err: expect.stringMatching(/x{300} is longer than a name may be\n$/) };
  expect(await run(...sealing, "--out", long)).toMatchObject(said);
  expect(await run(...opening, "--out", long, "record.eml")).toMatchObject(said);
  expect(await semrs(["demo", "--once", "--folder", long])).toMatchObject(said);
});

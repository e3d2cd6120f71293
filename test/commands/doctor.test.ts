/** `semrs doctor`: pass, warn or fail, and what to do. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Diagnosis } from "../../commands/doctor/machine.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { rejectingPacs } from "./checked.ts";
import { root, semrs } from "./cli.ts";

let at: TestExchange;
beforeAll(async () => {
  at = await openExchange(await testPki());
});
afterAll(() => at.close());

async function examined(env: Readonly<Record<string, string>> = {}, file = join(at.folder, "hospital-a.yaml")) {
  const { exit, out } = await semrs(["doctor", file, "--json"], { env: { ...at.env, SITE: "hospital-a", ...env } });
  const { checks } = JSON.parse(out) as { checks: readonly Diagnosis[] };
  return { exit, checks, of: (name: string) => checks.filter(({ check }) => check === name) };
}

describe("a house that runs, with its partners", () => {
  test("is well: everything passes, in lines for people", async () => {
    await at.message(sampleMessage("mdm-t02-121"));
    const { exit, out, err } = await semrs(["doctor", join(at.folder, "hospital-a.yaml")], {
      env: { ...at.env, SITE: "hospital-a" },
    });
    expect(out.split("\n").filter((line) => line !== "" && !line.startsWith("pass "))).toEqual([]);
    expect(out).toMatch(/^pass fsync: \d+\.\d ms \(median of 32\)$/m);
    expect(out).toMatch(/^pass store: 1 in the accept journal, 1 accepted, all accounted for$/m);
    expect(out).toMatch(/^pass clock of registry: equal$/m);
    expect(out).toMatch(/^pass running site, listeners: 3 open$/m);
    expect(err).toMatch(/^0 fail, 0 warn, \d+ pass$/m);
    expect(exit).toBe(0);
  });

  test("a partner that is down fails with what to do, exit 69", async () => {
    await at.stop("registry");
    const { exit, of } = await examined();
    expect(of("peers")).toMatchObject([{ state: "fail", next: "Start it, open the firewall, correct the address." }]);
    expect(of("clock of registry")).toMatchObject([{ state: "warn" }]);
    expect(of("clock of hospital-b")).toMatchObject([{ state: "pass" }]);
    expect(exit).toBe(69);
    await at.start("registry");
  });

  test("a PACS that answers and rejects us is told as that, not as one that is down", async () => {
    const env = { SITE: "hospital-b", B_PACS: await rejectingPacs() };
    const { exit, of } = await examined(env, join(at.folder, "hospital-b.yaml"));
    expect([exit, of("peers")]).toMatchObject([
      69,
      [{ says: expect.stringMatching(/PEER_REJECTS .* rejected SEMRS_B/), next: expect.stringContaining("AE title") }],
    ]);
  });

  test.each([
    [400, "fail", /^\d+ s ahead of ours$/, 69],
    [-90, "warn", /^\d+ s behind ours$/, 0],
  ])("a partner whose clock is %d s off: %s", async (seconds, state, says, code) => {
    await at.stop("registry");
    const own = (name: string): string => readFileSync(join(at.env.PKI ?? "", "registry", name), "utf8");
    const server = createServer({ key: own("tls.key"), cert: own("tls.crt") }, (_request, response) => {
      response.setHeader("date", new Date(Date.now() + seconds * 1000).toUTCString()).end();
    });
    server.listen(Number(at.env.REGISTRY_PORT), "127.0.0.1");
    await once(server, "listening");
    try {
      const { exit, of } = await examined();
      const [clock] = of("clock of registry");
      expect(clock).toMatchObject({ state });
      // The header is cut to the second.
      expect(Math.abs(Number.parseInt(clock?.says ?? "", 10) - Math.abs(seconds))).toBeLessThanOrEqual(2);
      expect(clock?.says).toMatch(says);
      expect(exit).toBe(code);
    } finally {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
      await at.start("registry");
    }
  });

  test("a disk below the reserve fails, exit 69", async () => {
    const file = join(at.folder, "full.yaml");
    const text = readFileSync(join(at.folder, "hospital-a.yaml"), "utf8");
    writeFileSync(file, text.replace(/( {4}repository: .*_PORT:8441.*\n)/, "$1    disk: { minFree: 999999GiB }\n"));
    const { exit, of } = await examined({}, file);
    expect(of("disk")).toMatchObject([{ state: "fail", next: "Free space, or move the data folder." }]);
    expect(exit).toBe(69);
  });

  test("what was accepted and is nowhere to be found fails, though the site runs", async () => {
    await until("sealed", async () => {
      const { items } = await at.admin("hospital-a").get<{ items: Record<string, number> }>("/counts");
      return items.sealed === 1;
    });
    const db = new DatabaseSync(join(at.folder, "data", "hospital-a", "semrs.db"));
    db.exec("PRAGMA busy_timeout = 5000; DELETE FROM item");
    db.close();
    expect((await examined()).of("store")).toMatchObject([{ state: "fail", code: "STORE_DAMAGED" }]);
  });
});

test("a key that others may read, a site that does not run, a file that is wrong: exit 78, and the place", async () => {
  const keys = mkdtempSync(join(tmpdir(), "semrs-doctor-"));
  cpSync(at.env.PKI ?? "", keys, { recursive: true });
  chmodSync(join(keys, "hospital-a", "sign.key"), 0o644);
  const { A_ADMIN: _other, ...rest } = at.env;
  const env = { ...rest, PKI: keys, A_ADMIN: "1", DATA: join(keys, "data") };
  const { exit, of } = await examined(env);
  expect(of("keys")).toMatchObject([{ state: "fail", says: expect.stringContaining("KEY_MODE"), next: "chmod 600." }]);
  expect(of("running site")).toMatchObject([{ state: "warn", next: "Start it: semrs run." }]);
  expect(of("store")).toMatchObject([{ state: "pass" }]);
  expect(exit).toBe(78);

  const file = join(at.folder, "wrong.yaml");
  writeFileSync(file, "site: hospital-a\nsites: 7\n");
  const wrong = await examined({}, file);
  expect(wrong.of("configuration")[0]).toMatchObject({
    state: "fail",
    says: expect.stringMatching(/wrong\.yaml:2:1 /),
  });
  expect(wrong.exit).toBe(78);
});

test("fewer descriptors than connections are a warning, with how many are wanted", async () => {
  const args = ["-c", 'ulimit -n 1000 && exec "$0" "$@"', process.execPath, join(root, "semrs.js"), "doctor", "--json"];
  const data = mkdtempSync(join(tmpdir(), "semrs-doctor-"));
  const env = { ...process.env, ...at.env, SITE: "hospital-a", DATA: data };
  const { stdout } = await promisify(execFile)("sh", [...args, join(at.folder, "hospital-a.yaml")], { env }).catch(
    (thrown: { stdout: string }) => thrown,
  );
  const { checks } = JSON.parse(stdout) as { checks: readonly Diagnosis[] };
  expect(checks.find(({ check }) => check === "descriptors")).toEqual({
    check: "descriptors",
    state: "warn",
    says: "1000 may be open, 1024 connections are allowed",
    next: "LimitNOFILE of at least 1280, or fewer limits.connections.",
  });
});

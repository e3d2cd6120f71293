/** `semrs check` by somebody who may not read the keys: nothing is to be made, restored or asked for because of that. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { shipped } from "./checked.ts";
import { root } from "./cli.ts";

/** Root may do anything: somebody else is asked then. */
test("keys that are closed to this user are told as that", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-check-closed-"));
  const keys = join(folder, "pki");
  await initPki(keys, ["registry", "hospital-a", "hospital-b"], { now: new Date() });
  writeFileSync(join(folder, "channels.yaml"), shipped);
  const [nobody, isRoot] = [65_534, process.getuid?.() === 0];
  chmodSync(folder, 0o755);
  chmodSync(keys, isRoot ? 0o700 : 0);
  const { stdout } = spawnSync(process.execPath, [join(root, "semrs.js"), "check", "--json"], {
    cwd: folder,
    env: { ...process.env, SITE: "hospital-a", A_HIS: "0", A_PACS: "0", A_PORT: "0", A_ADMIN: "0" },
    encoding: "utf8",
    ...(isRoot ? { uid: nobody, gid: nobody } : {}),
  });
  chmodSync(keys, 0o700);
  const { findings } = JSON.parse(stdout) as { findings: { code: string; message: string }[] };
  const said = findings.filter(({ code }) => ["KEY_MISSING", "PARTNER_CERTIFICATE"].includes(code));
  expect(said.length).toBeGreaterThan(10);
  expect([...new Set(said.map(({ message }) => message))]).toEqual([
    "is closed to this user; check as the user that the site runs as",
  ]);
});

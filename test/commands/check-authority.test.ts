/** `semrs check` on the authority that all houses trust, on the key of before a renewal, and on one of two partners. */
import { chmodSync, cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { authorityDays, initPki } from "../../commands/pki/index.ts";
import { checked } from "./checked.ts";

const env = { SITE: "hospital-a", A_HIS: "0", A_PACS: "0", A_PORT: "0", A_ADMIN: "0" };

test.each([
  ["ends in 20 days: a warning", 20, ["ends in 20 d"]],
  ["ends in 100 days: nothing to say yet", 100, []],
  ["has ended: it may be trusted for what it issued once", -1, []],
])("one that %s", async (_, days, expected) => {
  const keys = mkdtempSync(join(tmpdir(), "semrs-check-old-"));
  const now = new Date(Date.now() - (authorityDays - days - 0.5) * 864e5);
  await initPki(keys, ["registry", "hospital-a", "hospital-b"], { now });
  const { findings } = await checked([], { keys, args: [], env });
  const said = findings.filter(({ file, code }) => file.endsWith("ca.crt") && code === "CERTIFICATE_EXPIRES");
  expect(said.map(({ message }) => message.replace(/,.*/, ""))).toEqual(expected);
});

test.each([
  ["nothing that is a certificate", "no certificate", /holds no certificate/],
  ["a certificate that is cut", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", /certificate/],
])("a file of trust.anchors with %s is named, beside all other findings", async (_, pem, says) => {
  const keys = mkdtempSync(join(tmpdir(), "semrs-check-odd-"));
  await initPki(keys, ["registry", "hospital-a", "hospital-b"], { now: new Date() });
  writeFileSync(join(keys, "ca.crt"), pem);
  const { findings, exit } = await checked([], { keys, args: [], env });
  const ofFile = findings.filter(({ file }) => file.endsWith("ca.crt"));
  expect(ofFile).toMatchObject([{ code: "CERTIFICATE_UNTRUSTED", message: expect.stringMatching(says) }]);
  expect(findings.some(({ file }) => file.endsWith("sign.crt"))).toBe(true);
  expect(exit).toBe(78);
});

test("KEY_MODE: the key before a renewal, which still opens what was sealed for it, and others can read", async () => {
  const keys = mkdtempSync(join(tmpdir(), "semrs-check-previous-"));
  await initPki(keys, ["registry", "hospital-a", "hospital-b"], { now: new Date() });
  for (const end of ["key", "crt"])
    cpSync(join(keys, `hospital-a/decrypt.${end}`), join(keys, `hospital-a/decrypt.previous.${end}`));
  const told = async () => (await checked([], { keys, args: [], env })).findings.map(({ code }) => code);
  expect(await told()).toEqual([]);
  chmodSync(join(keys, "hospital-a/decrypt.previous.key"), 0o644);
  expect(await told()).toEqual(["KEY_MODE"]);
});

test("KEY_SHARED: one certificate to sign under the names of two partners, so that what is signed counts as the first one's", async () => {
  const keys = mkdtempSync(join(tmpdir(), "semrs-check-shared-"));
  await initPki(keys, ["registry", "hospital-a", "hospital-b"], { now: new Date() });
  cpSync(join(keys, "registry/sign.crt"), join(keys, "hospital-b/sign.crt"));
  const { findings, exit } = await checked([], { keys, args: [], env });
  expect(findings).toMatchObject([{ code: "KEY_SHARED", message: expect.stringMatching(/^is the key of \S+, too/) }]);
  expect(exit).toBe(78);
});

/** Keys and certificates that cannot be read: `semrs check` finds them, and no house starts, whose one line names the file. */
import { createPrivateKey } from "node:crypto";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { derToPem } from "../../envelope/certificate.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import { certify, holder, signerExtras } from "../envelope/certificates.ts";
import { testPki } from "../sites.ts";
import { checked } from "./checked.ts";
import { root } from "./cli.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});

const noKey = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
const noCertificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
/** Of a key that is too short. */
const short = holder("small", { bits: 1024 });
const small = derToPem(certify(short, short, signerExtras), "CERTIFICATE");
const asked = { format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "x" } as const;

test.each([
  ["hospital-a/sign.key", () => "", "KEY_PAIR", "the private key cannot be read"],
  ["hospital-a/tls.key", () => noKey, "KEY_PAIR", "the private key cannot be read"],
  [
    "hospital-a/decrypt.key",
    (pem: string) => createPrivateKey(pem).export(asked) as string,
    "KEY_PAIR",
    "PEM without a passphrase",
  ],
  ["hospital-a/decrypt.previous.key", () => noKey, "KEY_PAIR", "the private key cannot be read"],
  ["hospital-a/decrypt.previous.crt", () => "", "KEY_MISSING", "no certificate in the PEM file"],
  ["hospital-a/sign.crt", () => noCertificate, "CERTIFICATE_UNTRUSTED", "certificate 709e80c8 cannot be read"],
  ["hospital-a/tls.crt", () => noCertificate, "CERTIFICATE_UNTRUSTED", "certificate 709e80c8 cannot be read"],
  ["hospital-b/decrypt.crt", () => noCertificate, "CERTIFICATE_UNTRUSTED", "ask hospital-b for its decrypt.crt"],
  ["hospital-b/decrypt.crt", () => small, "CERTIFICATE_UNTRUSTED", "nothing is sealed for a rsa key of this size"],
  ["hospital-b/sign.crt", () => noCertificate, "CERTIFICATE_UNTRUSTED", "ask hospital-b for its sign.crt"],
  ["ca.crt", () => noCertificate, "CERTIFICATE_UNTRUSTED", "certificate 709e80c8 cannot be read"],
  ["ca.crt", () => "", "CERTIFICATE_UNTRUSTED", "holds no certificate"],
])("%s that is spoilt (%#)", async (file, spoilt, code, says) => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-spoilt-"));
  cpSync(pki, folder, { recursive: true });
  // As after a renewal with a new key.
  for (const kind of ["key", "crt"])
    cpSync(join(folder, `hospital-b/decrypt.${kind}`), join(folder, `hospital-a/decrypt.previous.${kind}`));
  const path = join(folder, file);
  writeFileSync(path, spoilt(readFileSync(path, "utf8")));
  const env = { SITE: "hospital-a", A_HIS: "0", A_PACS: "0", A_PORT: "0", A_ADMIN: "0" };
  const { exit, findings } = await checked([], { keys: folder, args: [], env });
  expect({ exit, codes: findings.map((each) => each.code) }).toEqual({
    exit: 78,
    codes: expect.arrayContaining([code]),
  });

  const config = loadConfig(join(root, "channels.yaml"), { PKI: folder, DATA: folder, SITE: "hospital-a" });
  const stem = file.replace(/\.[a-z]+$/, "");
  const message = expect.stringMatching(new RegExp(`${stem}\\..*${says}`));
  expect(() => loadKeys(config)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message }));
});

test("what stands behind a partner's own certificate in its file is not needed, and may be anything", () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-spoilt-"));
  cpSync(pki, folder, { recursive: true });
  for (const name of ["sign", "decrypt", "tls"]) appendFileSync(join(folder, `hospital-b/${name}.crt`), noCertificate);
  const config = loadConfig(join(root, "channels.yaml"), { PKI: folder, DATA: folder, SITE: "hospital-a" });
  expect(loadKeys(config).identity.partners.has("hospital-b")).toBe(true);
});

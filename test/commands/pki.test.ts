/** `semrs pki import` and `verify`: PKCS#12 of OpenSSL and of old tools, wrong passwords, and verdicts at any time. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { initPki, revoke } from "../../commands/pki/index.ts";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { readCrl } from "../../envelope/crl.ts";
import { openStore } from "../../store/index.ts";
import { fixtures, peer } from "../peers.ts";
import { semrs } from "./cli.ts";

const openssl = peer("openssl");
const pyca = fixtures("crypto/pyca/pkcs12");
const cwd = mkdtempSync(join(tmpdir(), "semrs-pki-"));
const at = (name: string): string => join(cwd, name);
const run = (...args: string[]) => semrs(args, { cwd });
let folders = 0;
const fresh = (): string => {
  folders += 1;
  return `keys-${folders}`;
};

beforeAll(async () => {
  await initPki(at("ec"), ["hospital-a"], { now: new Date() });
  await initPki(at("rsa"), ["hospital-a"], { now: new Date(), rsa: true });
  writeFileSync(at("password"), "geheim-secret\n");
});

describe.skipIf(!openssl.available)(`PKCS#12 of OpenSSL ${openssl.reason}`, () => {
  const exported = (kind: string, ...more: string[]): void => {
    const args = [
      "pkcs12",
      "-export",
      "-inkey",
      at(`${kind}/hospital-a/sign.key`),
      "-in",
      at(`${kind}/hospital-a/sign.crt`),
      "-certfile",
      at(`${kind}/ca.crt`),
      "-passout",
      `file:${at("password")}`,
      "-out",
      at("site.p12"),
      ...more,
    ];
    expect(spawnSync("openssl", args).status).toBe(0);
  };
  test.each([
    ["ec", []],
    ["rsa", []],
    ["rsa", ["-legacy"]],
    ["ec", ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"]],
  ])("%s %j: the key and its chain, byte for byte", async (kind, more) => {
    exported(kind, ...more);
    const folder = fresh();
    const ran = await run("pki", "import", "site.p12", "--to", folder, "--as", "sign", "--password-file", "password");
    expect(ran).toMatchObject({ exit: 0, out: `${folder}/sign.key\n${folder}/sign.crt\n` });
    expect(statSync(at(`${folder}/sign.key`)).mode & 0o777).toBe(0o600);
    const certificates = readFileSync(at(`${folder}/sign.crt`), "utf8");
    expect(certificates.startsWith(readFileSync(at(`${kind}/hospital-a/sign.crt`), "utf8"))).toBe(true);
    expect(certificates.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(readFileSync(at(`${folder}/sign.key`), "utf8")).toBe(
      readFileSync(at(`${kind}/hospital-a/sign.key`), "utf8"),
    );
    expect(
      await run("pki", "import", "site.p12", "--to", folder, "--as", "sign", "--password-file", "password"),
    ).toMatchObject({ exit: 78, err: expect.stringContaining("never overwritten") });
  });
  test("another password, another file, another purpose", async () => {
    exported("ec");
    expect(await run("pki", "import", "site.p12", "--to", fresh(), "--as", "sign")).toMatchObject({
      exit: 78,
      err: expect.stringContaining("another password"),
    });
    expect(await run("pki", "import", "password", "--to", fresh(), "--as", "sign")).toMatchObject({
      exit: 78,
      err: expect.stringContaining("no PKCS#12"),
    });
    expect((await run("pki", "import", "site.p12", "--to", fresh(), "--as", "everything")).exit).toBe(64);
  });
});

describe.skipIf(!pyca.available)(`PKCS#12 of others ${pyca.reason}`, () => {
  test.each(["cert-key-aes256cbc.p12", "cert-rc2-key-3des.p12"])("%s", async (name) => {
    writeFileSync(at("cryptography"), "cryptography");
    const folder = fresh();
    expect(
      await run(
        "pki",
        "import",
        join(pyca.path, name),
        "--to",
        folder,
        "--as",
        "tls",
        "--password-file",
        "cryptography",
      ),
    ).toMatchObject({ exit: 0 });
  });
  test.each([
    ["cert-aes256cbc-no-key.p12", /0 keys and 1 certificates/],
    ["no-cert-key-aes256cbc.p12", /1 keys and 0 certificates/],
  ])("%s: said", async (name, message) => {
    const ran = await run(
      "pki",
      "import",
      join(pyca.path, name),
      "--to",
      fresh(),
      "--as",
      "tls",
      "--password-file",
      "cryptography",
    );
    expect(ran.exit).toBe(78);
    expect(ran.err).toMatch(message);
  });
});

describe("verify", () => {
  const verify = (...more: string[]) =>
    run("pki", "verify", "ec/hospital-a/sign.crt", "ec/hospital-a/tls.crt", "--trust", "ec/ca.crt", ...more);
  test("valid now", async () => {
    expect(await verify()).toMatchObject({
      exit: 0,
      out: expect.stringMatching(/sign\.crt {2}valid {2}O=hospital-a, CN=hospital-a sign\n.*tls\.crt {2}valid/),
    });
  });
  test("not before and not after, at a time that is named", async () => {
    for (const time of ["2020-01-01T00:00:00Z", "2036-01-01T00:00:00Z"]) {
      const { exit, out } = await verify("--at", time, "--json");
      expect(exit).toBe(65);
      expect(JSON.parse(out)).toMatchObject([
        { valid: false, reason: expect.stringMatching(/valid|expired|current|stale/) },
        { valid: false },
      ]);
    }
  });
  test("a revocation list that has ended is signed anew: what was revoked stays so, its number goes on", async () => {
    const then = new Date(Date.now() - 40 * 24 * 3600 * 1000);
    await initPki(at("old"), ["hospital-a", "hospital-b"], { now: then });
    revoke(at("old"), readFileSync(at("old/hospital-b/sign.crt"), "utf8"), then);
    const verified = (house: string) => run("pki", "verify", "--trust", "old/ca.crt", `old/${house}/sign.crt`);
    expect((await verified("hospital-a")).out).toMatch(/NOT VALID/);
    const numbered = () =>
      readCrl(pemToDer(readFileSync(at("old/ca.crl"), "utf8"), "X509 CRL")[0] ?? Buffer.of()).number;
    const before = numbered() ?? 0n;
    expect(await run("pki", "crl", "old", "--days", "60")).toMatchObject({ exit: 0, out: "old/ca.crl\n" });
    expect(numbered()).toBe(before + 1n);
    expect((await verified("hospital-a")).out).toMatch(/ {2}valid {2}/);
    expect((await verified("hospital-b")).out).toMatch(/NOT VALID .*revoked/);
  });
  test("revoked, and of another authority", async () => {
    await initPki(at("gone"), ["hospital-a"], { now: new Date() });
    revoke(at("gone"), readFileSync(at("gone/hospital-a/sign.crt"), "utf8"), new Date());
    expect(await run("pki", "verify", "gone/hospital-a/sign.crt", "--trust", "gone/ca.crt")).toMatchObject({
      exit: 65,
      out: expect.stringMatching(/NOT VALID .*revoked/),
    });
    expect((await run("pki", "verify", "gone/hospital-a/tls.crt", "--trust", "ec/ca.crt")).exit).toBe(65);
    expect((await run("pki", "verify", "gone/hospital-a/tls.crt")).exit).toBe(64);
  });
});

test("a storage key that is made with requests is told, once", async () => {
  const folder = fresh();
  const asked = () => run("pki", "csr", folder, "--site", "hospital-c");
  expect((await asked()).err).toContain(`${folder}/storage.key is new: keep a copy of it apart.`);
  expect((await asked()).err).not.toContain("storage.key");
  const opening = (fill: number) =>
    openStore({ folder: at("data"), key: Buffer.alloc(32, fill), now: () => new Date() });
  await (await opening(1)).close();
  await expect(opening(2)).rejects.toThrow("where this one was made anew, the folder's own is missing");
});

test("keys of semrs-2017: requested, issued, exported and trusted beside the others, each for its own use", async () => {
  const house = "legacy/hospital-b";
  const names = ["sign", "decrypt", "tls", "legacy-sign", "legacy-decrypt"];
  const files = names.map((name) => `${house}/${name}.csr`);
  expect((await run("pki", "csr", house, "--site", "hospital-b", "--legacy")).out).toBe(`${files.join("\n")}\n`);
  expect(await run("pki", "issue", "ec", ...files)).toMatchObject({
    exit: 0,
    err: expect.stringMatching(/ {2}legacy\/hospital-b\/tls\.crt: CN=hospital-b tls, O=hospital-b, DNS:hospital-b, /),
  });
  const shown = await run("pki", "show", "--json", ...names.map((name) => `${house}/${name}.crt`));
  const told = JSON.parse(shown.out) as { keyUsage: string[]; key: string }[];
  expect(told.map(({ keyUsage }) => keyUsage)).toEqual([
    ["digitalSignature", "nonRepudiation"],
    ["keyAgreement"],
    ["digitalSignature"],
    ["digitalSignature", "nonRepudiation"],
    ["keyEncipherment"],
  ]);
  const bundle = await run("pki", "export", house, "--legacy");
  writeFileSync(at("b.pem"), bundle.out);
  const trusted = await run("pki", "trust", "b.pem", "--as", "hospital-b", "--folder", "known", "--legacy");
  expect(trusted.out.trim().split("\n").sort()).toEqual(
    ["legacy-decrypt", "legacy-sign", "tls"].map((name) => `known/hospital-b/${name}.crt`),
  );
  for (const name of ["legacy-decrypt", "legacy-sign", "tls"])
    expect(readFileSync(at(`known/hospital-b/${name}.crt`), "utf8")).toBe(
      readFileSync(at(`${house}/${name}.crt`), "utf8"),
    );
});

test("a partner is trusted under a name alone, and never in the place of keys of our own", async () => {
  const folder = fresh();
  await initPki(at(folder), ["hospital-a"], { now: new Date() });
  writeFileSync(at("partner.pem"), (await run("pki", "export", "ec/hospital-a")).out);
  const own = (): string => readFileSync(at(`${folder}/hospital-a/sign.crt`), "utf8");
  const before = own();
  const trust = (name: string) => run("pki", "trust", "partner.pem", "--as", name, "--folder", folder);
  for (const name of ["../outside", "hospital-b/..", "."]) expect((await trust(name)).exit).toBe(64);
  expect(await trust("hospital-a")).toMatchObject({ exit: 78, err: expect.stringContaining("a folder of our own") });
  expect([existsSync(at("outside")), own()]).toEqual([false, before]);
  expect((await trust("hospital-b")).exit).toBe(0);
});

test("a bundle of another house that was trusted by mistake leaves no certificate that would count as the partner's", async () => {
  const folder = fresh();
  await initPki(at(folder), ["hospital-b", "hospital-c"], { now: new Date() });
  const trust = async (house: string) => {
    writeFileSync(at("partner.pem"), (await run("pki", "export", join(folder, house))).out);
    return await run("pki", "trust", "partner.pem", "--as", "hospital-b", "--folder", "mistaken");
  };
  const signed = (): readonly string[] => {
    const [sign, previous] = ["sign.crt", "sign.crt.previous"].map((name) => at(`mistaken/hospital-b/${name}`));
    return [sign, previous].flatMap((file = "") =>
      existsSync(file) ? pemToDer(readFileSync(file, "utf8")).map((der) => readCertificate(der).sha256) : [],
    );
  };
  const own = (): string =>
    readCertificate(pemToDer(readFileSync(at(`${folder}/hospital-b/sign.crt`), "utf8"))[0] ?? new Uint8Array()).sha256;
  expect((await trust("hospital-c")).exit).toBe(0);
  const { err } = await trust("hospital-b");
  expect(err).toContain(
    "not kept, since it is not of the house that the new one is of: O=hospital-c, CN=hospital-c sign",
  );
  const first = own();
  expect(signed()).toEqual([first]);
  // What the house itself had before is kept.
  expect((await run("pki", "csr", join(folder, "hospital-b"), "--site", "hospital-b")).exit).toBe(0);
  expect((await run("pki", "issue", folder, join(folder, "hospital-b", "sign.csr"))).exit).toBe(0);
  expect((await trust("hospital-b")).err).not.toContain("not kept");
  expect(signed()).toEqual([own(), first]);
});

describe("an authority of one's own", () => {
  const dayMs = 24 * 3600 * 1000;
  const endOf = (file: string): Date =>
    readCertificate(pemToDer(readFileSync(at(file), "utf8"))[0] ?? new Uint8Array()).notAfter;

  test("lasts ten years, what it issues 825 days", async () => {
    const lasts = (file: string): number => Math.round((endOf(file).getTime() - Date.now()) / dayMs);
    expect([lasts("ec/ca.crt"), lasts("ec/hospital-a/sign.crt")]).toEqual([3650, 825]);
  });

  test("issues nothing for a key that nothing here takes", async () => {
    const folder = fresh();
    const pem = ({ privateKey }: { privateKey: KeyObject }) => privateKey.export({ type: "pkcs8", format: "pem" });
    mkdirSync(at(folder), { mode: 0o700 });
    writeFileSync(at(`${folder}/sign.key`), pem(generateKeyPairSync("ec", { namedCurve: "P-384" })), { mode: 0o600 });
    writeFileSync(at(`${folder}/decrypt.key`), pem(generateKeyPairSync("rsa", { modulusLength: 1024 })), {
      mode: 0o600,
    });
    expect((await run("pki", "csr", folder, "--site", "hospital-b")).exit).toBe(0);
    for (const [name, what] of [
      ["sign", /signs nothing here/],
      ["decrypt", /nothing is sealed for/],
    ] as const) {
      const issued = await run("pki", "issue", "ec", `${folder}/${name}.csr`);
      expect(issued).toMatchObject({ exit: 65, err: expect.stringMatching(what) });
      expect(existsSync(at(`${folder}/${name}.crt`))).toBe(false);
    }
  });

  test("issues nothing that outlasts it, and nothing once it has ended", async () => {
    const folder = fresh();
    await initPki(at(folder), ["hospital-a"], { now: new Date(Date.now() - 3600 * dayMs) });
    expect((await run("pki", "csr", join(folder, "hospital-b"), "--site", "hospital-b")).exit).toBe(0);
    const request = join(folder, "hospital-b", "sign.csr");
    expect((await run("pki", "issue", folder, request)).exit).toBe(0);
    expect(endOf(join(folder, "hospital-b", "sign.crt"))).toEqual(endOf(join(folder, "ca.crt")));

    const ended = fresh();
    await initPki(at(ended), ["hospital-a"], { now: new Date(Date.now() - 3700 * dayMs) });
    expect(await run("pki", "issue", ended, request)).toMatchObject({
      exit: 78,
      err: expect.stringMatching(/SEMRS exchange CA.* ended at .*; make another one/),
    });
  });
});

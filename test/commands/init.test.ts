/** `semrs init`, `pki`, `completion`, `demo --clean`: what one house begins with, and what it exchanges with a partner. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pemToDer } from "../../envelope/certificate.ts";
import { readRequest } from "../../envelope/request.ts";
import { peer } from "../peers.ts";
import { semrs } from "./cli.ts";

const openssl = peer("openssl");
const fresh = (): string => mkdtempSync(join(tmpdir(), "semrs-init-"));

describe("init", () => {
  test("with a CA of one's own the house passes check and its first test", async () => {
    const cwd = fresh();
    const made = await semrs(["init", "hospital-x", "--own-ca"], { cwd });
    expect(made.exit).toBe(0);
    for (const file of made.out.trim().split("\n")) expect(existsSync(join(cwd, file)), file).toBe(true);
    expect(statSync(join(cwd, "pki/hospital-x/sign.key")).mode & 0o777).toBe(0o600);
    // Clear text never rests, not even of a process that ends by a defect.
    expect(readFileSync(join(cwd, "semrs-hospital-x.service"), "utf8")).toMatch(/^LimitCORE=0$/m);
    const free = { HIS: "0", PACS: "0", REST: "0", ADMIN: "0" };
    expect(await semrs(["check"], { cwd, env: free })).toMatchObject({
      exit: 0,
      err: expect.stringContaining("hospital-x can be started"),
    });
    expect(await semrs(["test"], { cwd })).toMatchObject({
      exit: 0,
      err: expect.stringContaining("1 passed, 0 failed"),
    });
    expect(await semrs(["init", "hospital-x"], { cwd })).toMatchObject({
      exit: 78,
      err: expect.stringContaining("channels.yaml, channels.test.yaml"),
    });
  }, 30_000);
  test("goes on where an attempt was broken off: what that made stays", async () => {
    const cwd = fresh();
    // A file in the way, as a disk that is full, ends it in the middle.
    writeFileSync(join(cwd, "samples"), "");
    expect((await semrs(["init", "hospital-x", "--own-ca"], { cwd })).exit).toBe(64);
    rmSync(join(cwd, "samples"));
    const kept = readFileSync(join(cwd, "pki/hospital-x/storage.key"));
    rmSync(join(cwd, "pki/ca.crt"));
    expect(await semrs(["init", "hospital-x", "--own-ca"], { cwd })).toMatchObject({ exit: 0 });
    expect(readFileSync(join(cwd, "pki/hospital-x/storage.key"))).toEqual(kept);
    const free = { HIS: "0", PACS: "0", REST: "0", ADMIN: "0" };
    expect((await semrs(["check"], { cwd, env: free })).exit).toBe(0);
  });
  test("without one, check says which certificates are still to come", async () => {
    const cwd = fresh();
    await semrs(["init", "hospital-x"], { cwd });
    const { exit, out } = await semrs(["check"], { cwd });
    expect(exit).toBe(78);
    expect(out).toMatch(/pki\/hospital-x\/sign\.crt error KEY_MISSING have sign\.csr issued/);
  });
  test("what check says makes a missing key, makes it", async () => {
    const cwd = fresh();
    await semrs(["init", "hospital-x", "--own-ca"], { cwd });
    for (const name of ["sign.key", "storage.key"]) rmSync(join(cwd, "pki/hospital-x", name));
    expect((await semrs(["run"], { cwd })).err).toContain(
      'sign.key does not exist; "semrs check" tells what is missing',
    );
    const { out } = await semrs(["check"], { cwd });
    const [advised, other] = [...out.matchAll(/semrs (pki csr .+?) makes it/g)].map(([, verb = ""]) => verb);
    expect([advised, other]).toEqual(Array(2).fill("pki csr pki/hospital-x --site hospital-x"));
    expect((await semrs(advised?.split(" ") ?? [], { cwd })).exit).toBe(0);
    const requests = ["sign", "decrypt", "tls"].map((name) => `pki/hospital-x/${name}.csr`);
    expect((await semrs(["pki", "issue", "pki", ...requests], { cwd })).exit).toBe(0);
    const free = { HIS: "0", PACS: "0", REST: "0", ADMIN: "0" };
    expect((await semrs(["check"], { cwd, env: free })).exit).toBe(0);
  });
  test("what is written as a comment is YAML without its #: partners, and the channel that receives", async () => {
    const cwd = fresh();
    await semrs(["init", "hospital-x"], { cwd });
    const text = readFileSync(join(cwd, "channels.yaml"), "utf8");
    const used = text
      .replaceAll(
        /^( *)# (?=partners:| +registry:| +hospital-b:|incoming:| +fetch:| +when:| +rules:| +deliver:| +- )/gm,
        "$1",
      )
      .replace("run: [imaging, documents]", "run: [imaging, documents, incoming]")
      // biome-ignore lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
      .replace('listen: "127.0.0.1:${HIS:2575}"', 'listen: "127.0.0.1:2575", connect: "127.0.0.1:2577"')
      .replace("aeTitle: SEMRS,", 'aeTitle: SEMRS, connect: "127.0.0.1:104", calledAeTitle: PACS,');
    writeFileSync(join(cwd, "channels.yaml"), used);
    const { findings, doors } = JSON.parse((await semrs(["check", "--file", "--json"], { cwd })).out);
    expect(findings.map(({ code }: { code: string }) => code)).toEqual(["SHADOW_CHANNEL", "SHADOW_CHANNEL"]);
    expect(doors).toContainEqual(expect.objectContaining({ address: "registry.example:8440", direction: "out" }));
  });
  test("a name that is none", async () => {
    expect(await semrs(["init", "Hospital X"], { cwd: fresh() })).toMatchObject({
      exit: 78,
      err: expect.stringContaining("lower-case"),
    });
  });
});

describe("two houses that exchange certificates", () => {
  test("what one exports the other trusts; fingerprints are the same; a private key is refused", async () => {
    const [a, b] = [fresh(), fresh()];
    await semrs(["init", "hospital-a", "--own-ca"], { cwd: a });
    const exported = await semrs(["pki", "export", "pki/hospital-a", "--ca", "pki/ca.crt", "--crl", "pki/ca.crl"], {
      cwd: a,
    });
    expect(exported.out).not.toContain("PRIVATE");
    writeFileSync(join(b, "hospital-a.pem"), exported.out);
    const trusted = await semrs(["pki", "trust", "hospital-a.pem", "--as", "hospital-a"], { cwd: b });
    expect(trusted.out.trim().split("\n").sort()).toEqual(
      ["ca.crl", "ca.crt", "decrypt.crt", "sign.crt", "tls.crt"].map((name) => `pki/hospital-a/${name}`),
    );
    const fingerprints = (text: string): string[] => text.match(/[0-9a-f]{4}( [0-9a-f]{4}){15}/g) ?? [];
    expect(fingerprints(trusted.err)).toHaveLength(3);
    expect(fingerprints(trusted.err)).toEqual(fingerprints(exported.err));
    for (const name of ["sign", "decrypt", "tls"])
      expect(readFileSync(join(b, `pki/hospital-a/${name}.crt`), "utf8")).toBe(
        readFileSync(join(a, `pki/hospital-a/${name}.crt`), "utf8"),
      );
    writeFileSync(join(b, "bad.pem"), exported.out + readFileSync(join(a, "pki/hospital-a/sign.key"), "utf8"));
    expect(await semrs(["pki", "trust", "bad.pem", "--as", "x"], { cwd: b })).toMatchObject({
      exit: 78,
      err: expect.stringContaining("private key"),
    });
    writeFileSync(join(b, "half.pem"), exported.out.split("decrypt")[0] ?? "");
    expect(await semrs(["pki", "trust", "half.pem", "--as", "x"], { cwd: b })).toMatchObject({
      exit: 78,
      err: expect.stringContaining("no certificate to decrypt"),
    });
  });

  test("another authority issues for the requests", async () => {
    const [ca, house] = [fresh(), fresh()];
    await semrs(["pki", "init", "pki", "--site", "registry"], { cwd: ca });
    const { out } = await semrs(
      ["pki", "csr", "pki/hospital-a", "--site", "hospital-a", "--host", "semrs.example", "--host", "10.1.2.3"],
      { cwd: house },
    );
    const requests = out
      .trim()
      .split("\n")
      .map((file) => join(house, file));
    expect((await semrs(["pki", "issue", "pki", ...requests], { cwd: ca })).exit).toBe(0);
    const shown = await semrs(["pki", "show", "--json", join(house, "pki/hospital-a/tls.crt")]);
    expect(JSON.parse(shown.out)).toMatchObject([
      { subject: "O=hospital-a, CN=hospital-a tls", keyUsage: ["digitalSignature"] },
    ]);
  });
});

describe("certificate requests", () => {
  const request = async (...args: string[]): Promise<string> => {
    const cwd = fresh();
    await semrs(["pki", "csr", "keys", "--site", "hospital-a", ...args], { cwd });
    return join(cwd, "keys/tls.csr");
  };
  test.skipIf(!openssl.available)(`OpenSSL verifies them and reads their names ${openssl.reason}`, async () => {
    for (const args of [
      ["--host", "semrs.example"],
      ["--host", "semrs.example", "--rsa"],
    ]) {
      const file = await request(...args);
      for (const name of ["sign", "decrypt", "tls"]) {
        const { status, stdout, stderr } = spawnSync(
          "openssl",
          ["req", "-verify", "-noout", "-text", "-in", file.replace("tls", name)],
          { encoding: "utf8" },
        );
        expect(status).toBe(0);
        expect(stderr).toMatch(/verify OK/);
        if (name === "tls")
          expect(stdout).toMatch(/DNS:semrs\.example, DNS:hospital-a, DNS:localhost, IP Address:127\.0\.0\.1/);
      }
    }
  });
  test("one changed octet and it is refused", async () => {
    const [der = new Uint8Array()] = pemToDer(readFileSync(await request(), "utf8"), "CERTIFICATE REQUEST");
    expect(readRequest(der).names).toEqual(["hospital-a", "localhost", "127.0.0.1"]);
    for (let at = 0; at < der.length; at += 7) {
      const changed = Uint8Array.from(der);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => readRequest(changed)).toThrow(/certificate request/);
    }
  });
});

describe("the rest", () => {
  test.each(["bash", "zsh", "fish"])("a completion script for %s knows the verbs", async (shell) => {
    const { exit, out } = await semrs(["completion", shell]);
    expect(exit).toBe(0);
    for (const word of ["journal", "trace", "resend"]) expect(out).toContain(word);
    if (shell === "bash") expect(spawnSync("bash", ["-n"], { input: out }).status).toBe(0);
  });
  test("an unknown verb or option is a wrong use; --version is printed", async () => {
    expect((await semrs(["chekc"])).exit).toBe(64);
    expect((await semrs(["check", "--conect"])).exit).toBe(64);
    expect((await semrs(["pki", "init"])).exit).toBe(64);
    expect((await semrs(["--version"])).out).toMatch(/^\d+\.\d+\.\d+$/m);
  });
  test("demo --clean removes what a demo left", async () => {
    const folder = join(fresh(), "demo");
    writeFileSync(`${folder}-beside`, "");
    expect((await semrs(["demo", "--clean", "--folder", folder])).exit).toBe(0);
    expect(existsSync(folder)).toBe(false);
    expect(existsSync(`${folder}-beside`)).toBe(true);
  });
});

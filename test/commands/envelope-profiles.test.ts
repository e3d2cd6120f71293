/** `semrs seal` and `open` in the other profiles, and with what OpenSSL makes. */
import { execFileSync } from "node:child_process";
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { readMessage } from "../../envelope/message.ts";
import { peer } from "../peers.ts";
import { at, clear, cwd, envelopeFolder, fresh, opened, opening, run, sealing } from "./envelope-folder.ts";

envelopeFolder();

describe("other profiles", () => {
  test("smime-4: sealed, opened, and a changed octet refused", async () => {
    expect(await run(...sealing, "--profile", "smime-4", "--out", "record.smime")).toMatchObject({
      exit: 0,
      err: expect.stringContaining("one S/MIME message for hospital-b"),
    });
    const out = fresh();
    expect((await run(...opening, "--out", out, "record.smime")).exit).toBe(0);
    expect(opened(out)).toEqual(clear);
    expect(JSON.parse(readFileSync(at(`${out}/manifest.json`), "utf8"))).toMatchObject({ profile: "smime-4" });
    const bytes = readFileSync(at("record.smime"));
    bytes[bytes.length - 2000] = (bytes[bytes.length - 2000] ?? 0) ^ 1;
    writeFileSync(at("changed.smime"), bytes);
    expect((await run(...opening, "--out", fresh(), "changed.smime")).exit).toBe(65);
  });
  test("smime-4: what openssl cms signs and encrypts opens, as a file with folded headers", async (context) => {
    if (!peer("openssl").available) return context.skip();
    const record = await recordOf("record.smime");
    writeFileSync(at("record.txt"), record);
    const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd, stdio: "ignore" });
    const keys = (name: string): string[] => ["-signer", `DIR/${name}.crt`, "-inkey", `DIR/${name}.key`];
    openssl(
      "cms",
      "-sign",
      "-nodetach",
      "-binary",
      "-in",
      "record.txt",
      ...keys("hospital-a/sign"),
      "-out",
      "signed.eml",
    );
    openssl(
      "cms",
      "-encrypt",
      "-aes-256-gcm",
      "-in",
      "signed.eml",
      "-recip",
      "DIR/hospital-b/decrypt.crt",
      "-keyopt",
      "ecdh_kdf_md:sha256",
      "-out",
      "openssl.eml",
    );
    const out = fresh();
    expect(await run(...opening, "--out", out, "openssl.eml")).toMatchObject({ exit: 0 });
    expect(opened(out)).toEqual(clear);
  });
  test("semrs-2017: for a partner that is named, with keys of its own; images told as signed by nobody", async () => {
    await initPki(at("LEGACY"), ["hospital-a", "hospital-b"], { now: new Date(), legacy: true });
    const legacy = sealing.map((arg) => arg.replace("DIR", "LEGACY"));
    for (const transport of ["rsa-oaep", "rsa-oaep-java", "rsa-pkcs1"]) {
      const sealed = await run(...legacy, "--profile", "semrs-2017", "--transport", transport, "--out", "legacy.eml");
      expect(sealed).toMatchObject({ exit: 0, err: expect.stringContaining("images and headers are not signed") });
      const out = fresh();
      const from = ["--from", "LEGACY/hospital-a", "--transport", transport];
      const keys = ["open", "--receiver", "LEGACY/hospital-b", "--trust", "LEGACY/ca.crt"];
      const ran = await run(...keys, ...from, "--out", out, "legacy.eml");
      expect(ran).toMatchObject({ exit: 0, err: expect.stringContaining("the 2 images are signed by nobody") });
      expect(opened(out)).toEqual(clear);
      expect((await run(...keys, "--out", fresh(), "legacy.eml")).exit).toBe(64);
    }
    expect(JSON.parse((await run("inspect", "--json", "legacy.eml")).out)).toMatchObject({ profile: "semrs-2017" });
  });
});

/** What is signed in an S/MIME message of ours, as OpenSSL decrypts and verifies it. */
async function recordOf(name: string): Promise<Buffer> {
  const openssl = (...args: string[]): Buffer =>
    execFileSync("openssl", args, { cwd, stdio: ["ignore", "pipe", "ignore"] });
  const { body } = await readMessage(createReadStream(at(name)) as AsyncIterable<Uint8Array>);
  writeFileSync(at("body.der"), Buffer.concat(await Array.fromAsync(body)));
  openssl(
    "cms",
    "-decrypt",
    "-inform",
    "DER",
    "-in",
    "body.der",
    "-recip",
    "DIR/hospital-b/decrypt.crt",
    "-inkey",
    "DIR/hospital-b/decrypt.key",
    "-out",
    "verified.eml",
  );
  return openssl("cms", "-verify", "-in", "verified.eml", "-CAfile", "DIR/ca.crt", "-purpose", "any");
}

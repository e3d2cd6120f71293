/** A receiver with nothing but OpenSSL 3 opens every part of a semrs-2 envelope and verifies its signature; and reads our PKI. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { initPki, revoke } from "../../commands/pki.ts";
import { pemToDer } from "../../envelope/certificate.ts";
import { segmentBytes } from "../../envelope/index.ts";
import { readManifest } from "../../envelope/manifest.ts";
import { readParts } from "../../envelope/mime.ts";
import { peer } from "../peers.ts";
import { people, sealedFor, type Sides, wire } from "../envelope/people.ts";

const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
const available = peer("openssl");

describe.skipIf(!available.available).each([{ rsa: false }, { rsa: true }])(`OpenSSL, RSA keys $rsa ${available.reason}`, ({ rsa }) => {
  let sides: Sides;
  beforeAll(async () => {
    sides = await people({ rsa });
  });

  test("opens parts 1 to 6 of an envelope, verifies the signature, and the digests are those of the manifest", async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-openssl-"));
    const file = (name: string) => join(folder, name);
    const { sealed, clear } = await sealedFor(sides);
    const boundary = /boundary="([^"]+)"/.exec(sealed.headers.find(([name]) => name === "Content-Type")?.[1] ?? "")?.[1] ?? "";
    const parts: Buffer[] = [];
    for await (const part of readParts(wire(await bytesOf(sealed.body())), boundary, 100)) parts.push(await bytesOf(part));
    parts.forEach((bytes, index) => writeFileSync(file(`part${index + 1}.p7m`), bytes));

    // Part 4 with the private key, then HKDF, then every other part with the key-encryption key.
    const b = join(sides.folder, "b");
    openssl("cms", "-decrypt", "-binary", "-inform", "DER", "-in", file("part4.p7m"), "-recip", join(b, "decrypt.crt"), "-inkey", join(b, "decrypt.key"), "-out", file("key"));
    const key = readFileSync(file("key"));
    expect(key.length).toBe(32);
    const kdf = ["-kdfopt", "digest:SHA256", "-kdfopt", `hexkey:${key.toString("hex")}`, "-kdfopt", `hexsalt:${sealed.id}`, "-kdfopt", "info:semrs-2/wrap"];
    const kek = openssl("kdf", "-binary", "-keylen", "32", ...kdf, "HKDF").toString("hex");
    for (const n of [1, 2, 3, 5, 6]) {
      openssl("cms", "-decrypt", "-binary", "-inform", "DER", "-in", file(`part${n}.p7m`), "-secretkey", kek, "-secretkeyid", sealed.id, "-out", file(`clear${n}`));
    }
    const trust = ["-CAfile", join(sides.folder, "ca.crt"), "-purpose", "any"];
    openssl("cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", file("clear3"), "-content", file("clear2"), ...trust, "-out", file("verified"));

    const manifest = readManifest(readFileSync(file("verified")));
    for (const [index, part] of manifest.parts.entries()) {
      const bytes = readFileSync(file(`clear${part.n}`));
      expect(Buffer.compare(bytes, clear[index] ?? Buffer.alloc(0))).toBe(0);
      if ("sha256" in part) expect(createHash("sha256").update(bytes).digest("hex")).toBe(part.sha256);
      if (!("segs" in part)) continue;
      const segments = Array.from({ length: Math.ceil(bytes.length / segmentBytes) }, (_, i) => bytes.subarray(i * segmentBytes, (i + 1) * segmentBytes));
      expect(Buffer.concat(segments.map((segment) => createHash("sha256").update(segment).digest())).toString("base64")).toBe(part.segs);
    }
  });

  test("accepts our certificates and revocation list, and rejects a revoked one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-pki-"));
    await initPki(folder, ["a"], { now: new Date(), rsa });
    const verify = () => openssl("verify", "-crl_check", "-CAfile", join(folder, "ca.crt"), "-CRLfile", join(folder, "ca.crl"), join(folder, "a", "sign.crt")).toString();
    expect(verify()).toContain("OK");
    revoke(folder, readFileSync(join(folder, "a", "sign.crt"), "utf8"), new Date());
    expect(verify).toThrow(/certificate revoked/);
    expect(pemToDer(readFileSync(join(folder, "ca.crl"), "utf8"), "X509 CRL")).toHaveLength(1);
  });
});

async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Project Wycheproof against our wrappers of the primitives: what it calls invalid is refused, and of the valid what this format uses is taken. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { agreeOn, gcmDecipher, isSignedBy, oaepDecrypt, unwrapKey, wrapKey } from "../../envelope/primitives.ts";
import { fixtures } from "../peers.ts";

const wycheproof = fixtures("crypto/wycheproof");
type Case = Readonly<Record<string, string>> & {
  readonly tcId: number;
  readonly result: "valid" | "invalid" | "acceptable";
  readonly flags: readonly string[];
};
type Group = Readonly<Record<string, unknown>> & { readonly tests: readonly Case[] };

const groups = (file: string): readonly Group[] =>
  (JSON.parse(readFileSync(join(wycheproof.path, file), "utf8")) as { testGroups: Group[] }).testGroups;
const hex = (text: string | undefined): Buffer => Buffer.from(text ?? "", "hex");
const attempt = <T>(work: () => T): T | undefined => {
  try {
    return work();
  } catch {
    return undefined;
  }
};

/** Runs every case; `outcome` is whether it was taken, undefined where the case is not of this format. Returns how many were. */
function run(
  file: string,
  outcome: (group: Group, each: Case) => boolean | undefined,
): { valid: number; invalid: number; foreign: number } {
  const counts = { valid: 0, invalid: 0, foreign: 0 };
  const wrong: string[] = [];
  for (const group of groups(file)) {
    for (const each of group.tests) {
      const taken = outcome(group, each);
      if (taken === undefined) counts.foreign += 1;
      else if (each.result === "acceptable") counts.foreign += 1;
      else if (taken !== (each.result === "valid")) wrong.push(`${each.tcId} ${each.result}: ${each.comment}`);
      else counts[each.result] += 1;
    }
  }
  expect(wrong).toEqual([]);
  return counts;
}

describe.skipIf(!wycheproof.available)(`Wycheproof ${wycheproof.reason}`, () => {
  test("AES-GCM: a key of 32, a nonce of 12 and a tag of 16 octets open; every other length is refused, as every changed octet", () => {
    const isOurs = (group: Group): boolean => group.keySize === 256 && group.ivSize === 96 && group.tagSize === 128;
    const counts = run("aes_gcm_test.json", (group, { key, iv, aad, msg, ct, tag }) => {
      const clear = attempt(() => {
        const decipher = gcmDecipher(hex(key), hex(iv)).setAAD(hex(aad)).setAuthTag(hex(tag));
        return Buffer.concat([decipher.update(hex(ct)), decipher.final()]);
      });
      if (isOurs(group)) return clear?.equals(hex(msg)) ?? false;
      expect(clear).toBeUndefined();
      return undefined;
    });
    expect(counts.valid).toBeGreaterThan(30);
    expect(counts.invalid).toBeGreaterThan(20);
    expect(() => gcmDecipher(Buffer.alloc(32), Buffer.alloc(12)).setAuthTag(Buffer.alloc(4))).toThrow();
  });

  test("AES-KW: a key of 32 octets under a key of 32; wrapped keys of 8, 16 and 24 octets are refused", () => {
    const counts = run("aes_wrap_test.json", (group, { key, msg, ct }) => {
      const unwrapped = attempt(() => unwrapKey(hex(key), hex(ct)));
      if (group.keySize === 256 && hex(ct).length === 40)
        return unwrapped !== undefined && Buffer.from(unwrapped).equals(hex(msg));
      expect(unwrapped).toBeUndefined();
      return undefined;
    });
    expect(counts.valid).toBeGreaterThan(0);
    expect(counts.invalid).toBeGreaterThan(0);
    const [kek, key] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    expect(Buffer.from(unwrapKey(kek, wrapKey(kek, key))).equals(key)).toBe(true);
  });

  test("ECDH on P-256: uncompressed points on the curve; everything else is refused", () => {
    const counts = run(
      "ecdh_secp256r1_ecpoint_test.json",
      (_group, { public: point, private: scalar, shared, flags }) => {
        const key = attempt(() => privateKeyOf(hex(scalar)));
        if (!key) return undefined;
        const secret = attempt(() => agreeOn(key, hex(point)));
        if (flags?.includes("CompressedPoint")) {
          expect(secret).toBeUndefined();
          return undefined;
        }
        return secret !== undefined && Buffer.from(secret).equals(hex(shared));
      },
    );
    expect(counts.valid).toBeGreaterThan(200);
  });

  test.each([2048, 3072])("RSAES-OAEP, RSA-%i: no label, SHA-256 in both places", (bits) => {
    const counts = run(`rsa_oaep_${bits}_sha256_mgf1sha256_test.json`, (group, { msg, ct, label }) => {
      if (label !== "") return undefined;
      const clear = attempt(() => oaepDecrypt(createPrivateKey(String(group.privateKeyPem)), hex(ct)));
      return clear !== undefined && Buffer.from(clear).equals(hex(msg));
    });
    expect(counts.valid).toBeGreaterThan(5);
    expect(counts.invalid).toBeGreaterThan(5);
  });

  test.each([
    ["ecdsa_secp256r1_sha256_test.json", "ecdsa-p256-sha256", 300],
    ["ed25519_test.json", "ed25519", 50],
    ["rsa_pss_2048_sha256_mgf1_32_test.json", "rsa-pss-sha256", 40],
    ["rsa_pss_3072_sha256_mgf1_32_test.json", "rsa-pss-sha256", 40],
  ] as const)("%s", (file, algorithm, atLeast) => {
    const counts = run(
      file,
      (group, { msg, sig }) =>
        attempt(() => isSignedBy(algorithm, hex(msg), hex(sig), createPublicKey(String(group.publicKeyPem)))) ?? false,
    );
    expect(counts.valid + counts.invalid).toBeGreaterThan(atLeast);
  });
});

/** A private key from its scalar: RFC 5915 without the public key, which OpenSSL derives. */
function privateKeyOf(scalar: Buffer) {
  const d = Buffer.concat([Buffer.alloc(32), scalar]).subarray(-32);
  const der = Buffer.concat([Buffer.from("30310201010420", "hex"), d, Buffer.from("a00a06082a8648ce3d030107", "hex")]);
  return createPrivateKey({ key: der, format: "der", type: "sec1" });
}

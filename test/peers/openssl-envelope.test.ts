/** A receiver with nothing but OpenSSL 3 opens every part of an envelope, verifies its signature and finds the digests it signs. */
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { readManifest, seal } from "../../envelope/index.ts";
import { readParts } from "../../envelope/mime.ts";
import { rootOf } from "../../envelope/part.ts";
import { a, b, ca, now, type Party, party } from "../envelope/parties.ts";
import {
  bodyOf,
  cda,
  collect,
  draftOf,
  flipped,
  inPieces,
  mebibyte,
  octets,
  record,
  sha256,
} from "../envelope/samples.ts";
import { peer } from "../peers.ts";
import { file, scratch } from "./scratch.ts";

scratch();

const openssl = peer("openssl");
const run = (...args: readonly string[]): Buffer =>
  execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"], maxBuffer: 64 * mebibyte });
const receivers: Readonly<Record<string, Party>> = {
  "ECDH P-256": b,
  "RSAES-OAEP": party("hospital-r", ca, "rsa", "rsa"),
};
const sizes = [3 * mebibyte, mebibyte + 777];

describe.skipIf(!openssl.available)(`OpenSSL ${openssl.reason}`, () => {
  describe.each(Object.entries(receivers))("as a receiver with %s", (_, receiver) => {
    const sealing = record(...sizes).then(async (content) => {
      const envelope = await seal(
        draftOf(content, { to: [{ org: receiver.org, certificate: receiver.unwrapper.certificate }] }),
        a.signer,
        now,
      );
      const [, boundary = ""] = /boundary="(.*)"/.exec(envelope.headers.at(-1)?.[1] ?? "") ?? [];
      const parts: Buffer[] = [];
      for await (const part of readParts(inPieces(await bodyOf(envelope)), boundary, 10))
        parts.push(await collect(part));
      return { envelope, parts };
    });

    /** The one-time key from part 4, and from it the key-encryption key that opens the other parts. */
    const unwrapped = async (): Promise<readonly string[]> => {
      const { envelope, parts } = await sealing;
      const key = [
        "-recip",
        file("b.crt", receiver.pem.decryptCertificate),
        "-inkey",
        file("b.key", receiver.pem.decryptKey),
      ];
      const oneTimeKey = run("cms", "-decrypt", "-binary", "-inform", "DER", "-in", file("4.p7m", parts[3]), ...key);
      expect(oneTimeKey).toHaveLength(32);
      const hkdf = [
        "digest:SHA256",
        `hexkey:${oneTimeKey.toString("hex")}`,
        `hexsalt:${envelope.id}`,
        "info:semrs-2/wrap",
      ];
      const kek = run(
        "kdf",
        "-binary",
        "-keylen",
        "32",
        ...hkdf.flatMap((option) => ["-kdfopt", option]),
        "HKDF",
      ).toString("hex");
      return ["-secretkey", kek, "-secretkeyid", envelope.id];
    };
    const decryptPart = (part: Uint8Array | undefined, secret: readonly string[]): Buffer =>
      run("cms", "-decrypt", "-binary", "-inform", "DER", "-in", file("part.p7m", part), ...secret);
    const decrypt = async (): Promise<readonly Buffer[]> => {
      const { parts } = await sealing;
      const secret = await unwrapped();
      return [1, 2, 3, 5, 6].map((n) => decryptPart(parts[n - 1], secret));
    };

    test("opens every part", async () => {
      const { envelope } = await sealing;
      const [document, manifest, signature, first, second] = await decrypt();
      expect(document?.equals(cda)).toBe(true);
      expect(manifest?.equals(envelope.manifest)).toBe(true);
      expect(signature?.equals(envelope.signature)).toBe(true);
      expect([first, second].map((image, n) => image?.equals(octets(sizes[n] ?? 0, n + 2)))).toEqual([true, true]);
    });

    test("verifies the signature over the manifest, and not over another", async () => {
      const [, manifest = octets(1), signature = octets(1)] = await decrypt();
      const verify = (content: Uint8Array): Buffer => {
        const files = [
          "-in",
          file("3.p7s", signature),
          "-content",
          file("manifest", content),
          "-CAfile",
          file("ca.crt", ca.pem),
        ];
        const at = String(Math.floor(now.getTime() / 1000));
        return run("cms", "-verify", "-binary", "-cades", "-inform", "DER", ...files, "-purpose", "any", "-attime", at);
      };
      expect(verify(manifest).equals(manifest)).toBe(true);
      expect(() => verify(Buffer.from(manifest.toString().replace('"116"', '"113"')))).toThrow("Command failed");
    });

    test("finds the digests that the manifest signs", async () => {
      const [document = octets(1), manifest = octets(1), , ...images] = await decrypt();
      const [first, ...entries] = readManifest(manifest).parts;
      expect(first).toMatchObject({ sha256: sha256(document) });
      for (const [index, entry] of entries.entries()) {
        const image = images[index] ?? Buffer.alloc(0);
        const digest = (at: number): Buffer =>
          run("dgst", "-sha256", "-binary", file("segment", image.subarray(at, at + mebibyte)));
        const segs = Buffer.concat(
          Array.from({ length: Math.ceil(image.length / mebibyte) }, (_, n) => digest(n * mebibyte)),
        );
        expect(entry).toMatchObject({
          size: image.length,
          segs: segs.toString("base64"),
          root: rootOf(image.length, segs),
        });
      }
    });

    test("refuses a part with a bit changed", async () => {
      const { parts } = await sealing;
      const secret = await unwrapped();
      const part = parts[4] ?? octets(1);
      expect(decryptPart(part, secret)).toHaveLength(3 * mebibyte);
      expect(() => decryptPart(flipped(part, 2 * mebibyte), secret)).toThrow("Command failed");
    });
  });
});

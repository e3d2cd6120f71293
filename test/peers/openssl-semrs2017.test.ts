/** A partner with nothing but OpenSSL 3 opens every part of a semrs-2017 envelope and verifies its signature, and seals one that we open. */
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { type KeyTransport, seal2017 } from "../../envelope/index.ts";
import { headerNames } from "../../envelope/manifest.ts";
import { readParts } from "../../envelope/mime.ts";
import { documentDigest, forge2017 } from "../envelope/forge2017.ts";
import { by, clear2017, draft2017, from, hospitalA, hospitalB, opened2017, transports } from "../envelope/legacy.ts";
import { cda, collect, inPieces, mebibyte, octets } from "../envelope/samples.ts";
import { peer } from "../peers.ts";
import { file, scratch } from "./scratch.ts";

scratch();

const openssl = peer("openssl");
const run = (...args: readonly string[]): Buffer =>
  execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"], maxBuffer: 64 * mebibyte });
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const paddings: Readonly<Record<KeyTransport, readonly string[]>> = {
  "rsa-pkcs1": ["rsa_padding_mode:pkcs1"],
  "rsa-oaep": ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"],
  "rsa-oaep-java": ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha1"],
};
const options = (transport: KeyTransport): readonly string[] =>
  paddings[transport].flatMap((option) => ["-pkeyopt", option]);
const cbc = (key: Uint8Array, iv: Uint8Array, input: string, ...direction: readonly string[]): Buffer =>
  run("enc", ...direction, "-aes-256-cbc", "-K", hex(key), "-iv", hex(iv), "-in", input);
const decrypt = (key: Uint8Array, sealed: Uint8Array): Buffer =>
  cbc(key, sealed.subarray(0, 16), file("sealed", sealed.subarray(16)), "-d");
const publicKey = (name: string, certificate: string): string =>
  file(`${name}.pub`, run("x509", "-pubkey", "-noout", "-in", file(`${name}.crt`, certificate)));

describe.skipIf(!openssl.available)(`OpenSSL ${openssl.reason}`, () => {
  describe.each(transports)("with the one-time key under %s", (transport) => {
    test("opens every header and part, and verifies the signature over the digest", async () => {
      const envelope = await seal2017(draft2017([3 * mebibyte, 777], by(transport)), hospitalA.signer);
      const [, boundary = ""] = /boundary="(.*)"/.exec(envelope.headers.at(-1)?.[1] ?? "") ?? [];
      const parts = await Array.fromAsync(readParts(envelope.body(), boundary, 10, "semrs-2017"), collect);
      const [encEmr = cda, encDist = cda, encSign = cda, encKey = cda, ...encDicom] = parts;
      const inkey = ["-inkey", file("b.key", hospitalB.pem.decryptKey), "-in", file("key", encKey)];
      const key = run("pkeyutl", "-decrypt", ...inkey, ...options(transport));
      expect(key).toHaveLength(32);

      const values = envelope.headers
        .filter(([name]) => name.startsWith("X-EEC-"))
        .map(([, value]) => decrypt(key, Buffer.from(value, "base64")).toString("utf8"));
      expect(values.slice(0, 2)).toEqual(["hospital-a", "hospital-b"]);
      expect(values).toHaveLength(headerNames.length);

      const document = decrypt(key, encEmr);
      expect(document.equals(cda)).toBe(true);
      const digest = run("dgst", "-sha256", "-binary", file("document", document));
      expect(decrypt(key, encDist).equals(digest)).toBe(true);
      const verify = (signed: Uint8Array): Buffer =>
        run(
          ...["dgst", "-sha256", "-verify", publicKey("a", hospitalA.pem.signCertificate)],
          ...["-signature", file("signature", decrypt(key, encSign)), file("digest", signed)],
        );
      expect(verify(digest).toString()).toBe("Verified OK\n");
      expect(() => verify(octets(32, 1))).toThrow("Command failed");
      const images = encDicom.map((part) => decrypt(key, part));
      expect(images.map((image, n) => image.equals(octets([3 * mebibyte, 777][n] ?? 0, n + 2)))).toEqual([true, true]);
    });

    test("seals what we open", async () => {
      const key = run("rand", "32");
      const recipient = ["-pubin", "-inkey", publicKey("b", hospitalB.pem.decryptCertificate)];
      const digest = file("digest", documentDigest(cda));
      const { headers, body } = forge2017({
        key,
        transport: transport === "rsa-pkcs1" ? "rsa-pkcs1" : "rsa-oaep",
        encKey: run("pkeyutl", "-encrypt", ...recipient, "-in", file("clear", key), ...options(transport)),
        signature: run("dgst", "-sha256", "-sign", file("a.key", hospitalA.pem.signKey), digest),
        sealed: (which, right) => {
          if (which !== "1") return right;
          const iv = run("rand", "16");
          return Buffer.concat([iv, cbc(key, iv, file("document", cda), "-e")]);
        },
      });
      const opened = await opened2017(headers, inPieces(body), from(transport));
      expect(await clear2017(opened)).toEqual([cda, octets(100, 2)]);
    });
  });
});

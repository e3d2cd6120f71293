import { constants, privateDecrypt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { checkSeparate, legacySignerFrom, legacyUnwrapperFrom } from "../../envelope/index.ts";
import { wrapForLegacy } from "../../envelope/semrs2017-keys.ts";
import { hospitalA, hospitalB, transports } from "./legacy.ts";
import { a, b } from "./parties.ts";
import { octets } from "./samples.ts";

const key = octets(32, 1);
const { certificate } = hospitalB.unwrapper;

describe("the one-time key under RSA", () => {
  test.each(transports)("unwraps to what was wrapped: %s", (transport) => {
    for (let time = 0; time < 20; time += 1) {
      const wrapped = wrapForLegacy(certificate, transport, key);
      expect(Buffer.from(hospitalB.unwrapper.unwrap(wrapped, transport)).equals(key)).toBe(true);
      for (const other of transports.filter((each) => each !== transport))
        expect(Buffer.from(hospitalB.unwrapper.unwrap(wrapped, other)).equals(key)).toBe(false);
    }
  });

  test("OAEP is what OpenSSL takes, with SHA-256 behind digest and mask", () => {
    const wrapped = wrapForLegacy(certificate, "rsa-oaep", key);
    const opened = privateDecrypt(
      { key: hospitalB.pem.decryptKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      wrapped,
    );
    expect(opened.equals(key)).toBe(true);
  });

  test("no octet of it may change", () => {
    for (const transport of transports) {
      const wrapped = Buffer.from(wrapForLegacy(certificate, transport, key));
      for (const at of [0, 1, 100, 255]) {
        const changed = Buffer.from(wrapped);
        changed[at] = (changed[at] ?? 0) ^ 1;
        const opened = hospitalB.unwrapper.unwrap(changed, transport);
        expect(opened).toHaveLength(32);
        expect(Buffer.from(opened).equals(key)).toBe(false);
      }
    }
  });
});

describe("legacy keys", () => {
  test("are RSA", () => {
    expect(() => legacySignerFrom(a.pem.signKey, a.pem.signCertificate)).toThrow("semrs-2017 needs RSA");
    expect(() => legacyUnwrapperFrom(b.pem.decryptKey, b.pem.decryptCertificate)).toThrow("semrs-2017 needs RSA");
  });

  test("belong to their certificates", () => {
    const { signKey } = hospitalA.pem;
    const { signCertificate, decryptCertificate } = hospitalB.pem;
    expect(() => legacySignerFrom(signKey, signCertificate)).toThrow("is not the one of certificate");
    expect(() => legacyUnwrapperFrom(signKey, decryptCertificate)).toThrow("is not the one of certificate");
  });

  test("are used for nothing else", () => {
    const own = { sign: a.signer.certificate, decrypt: a.unwrapper.certificate };
    const legacy = { legacySign: hospitalA.signer.certificate, legacyDecrypt: hospitalA.unwrapper.certificate };
    expect(() => checkSeparate({ ...own, ...legacy })).not.toThrow();
    expect(() => checkSeparate({ ...own, legacySign: own.sign })).toThrow("legacySign and sign have the same key");
    expect(() => checkSeparate({ ...legacy, legacyDecrypt: legacy.legacySign })).toThrow("have the same key");
  });
});

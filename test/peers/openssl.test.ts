/** OpenSSL reads our PKI: certificates, chain and revocation list. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { initPki, revoke } from "../../commands/pki/index.ts";
import { pemToDer } from "../../envelope/certificate.ts";
import { peer } from "../peers.ts";

const openssl = (...args: string[]): Buffer => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "pipe"] });
const available = peer("openssl");

describe.skipIf(!available.available).each([{ rsa: false }, { rsa: true }])(
  `OpenSSL, RSA keys $rsa ${available.reason}`,
  ({ rsa }) => {
    test("accepts our certificates and revocation list, and rejects a revoked one", async () => {
      const folder = mkdtempSync(join(tmpdir(), "semrs-pki-"));
      await initPki(folder, ["a"], { now: new Date(), rsa });
      const verify = () =>
        openssl(
          "verify",
          "-crl_check",
          "-CAfile",
          join(folder, "ca.crt"),
          "-CRLfile",
          join(folder, "ca.crl"),
          join(folder, "a", "sign.crt"),
        ).toString();
      expect(verify()).toContain("OK");
      revoke(folder, readFileSync(join(folder, "a", "sign.crt"), "utf8"), new Date());
      expect(verify).toThrow(/certificate revoked/);
      expect(pemToDer(readFileSync(join(folder, "ca.crl"), "utf8"), "X509 CRL")).toHaveLength(1);
    });
  },
);

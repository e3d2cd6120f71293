/** NIST PKITS: every signed message, from its own certificates and lists to the one trust anchor, with each test's own settings. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readCertificate } from "../../envelope/certificate.ts";
import { children, context, cursor, integer, read, tag } from "../../envelope/cms/der.ts";
import { type Trust, validatePath } from "../../envelope/path.ts";
import type { PolicySettings } from "../../envelope/policies.ts";
import { checkSignerInfo } from "../../envelope/smime4-signer-info.ts";
import { codeOf } from "../../errors.ts";
import { fixtures } from "../peers.ts";
import { asked, refusedAlgorithms } from "./pkits-settings.ts";

const { available, path, reason } = fixtures("crypto/pkits");
const at = new Date("2026-05-04T12:00:00Z");

type Signed = {
  readonly content: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
  readonly signerInfos: Uint8Array;
};

/** A multipart/signed message of PKITS: the content as it was signed, and what came with the signature. */
function messageOf(file: string): Signed {
  const text = readFileSync(file, "latin1").replaceAll(/\r?\n/g, "\r\n");
  const [, boundary = ""] = /boundary="([^"]+)"/.exec(text) ?? [];
  const [, content = "", signature = ""] = text.split(`--${boundary}`);
  const octets = Buffer.from(signature.slice(signature.indexOf("\r\n\r\n") + 4), "base64");
  const outer = cursor(read(octets, tag.sequence));
  outer.take(tag.oid, "contentType");
  const body = cursor(cursor(outer.take(context(0), "content")).take(tag.sequence, "SignedData"));
  body.take(tag.integer, "version");
  body.take(tag.set, "digestAlgorithms");
  body.take(tag.sequence, "encapContentInfo");
  const [certificates, crls] = [body.maybe(context(0)), body.maybe(context(1))];
  const raws = (element: typeof certificates): readonly Uint8Array[] =>
    element ? children(element).map(({ raw }) => raw) : [];
  return {
    content: Buffer.from(content.slice(2, -2), "latin1"),
    certificates: raws(certificates),
    crls: raws(crls),
    signerInfos: body.take(tag.set, "signerInfos").raw,
  };
}

/** Signature, then path: what a receiver of this message would do. */
function verify(name: string, policies: PolicySettings): void {
  const { content, certificates, crls, signerInfos } = messageOf(join(path, "smime", `Signed${name}.eml`));
  const der = (file: string): Uint8Array => readFileSync(join(path, file));
  const trust: Trust = {
    anchors: [der("certs/TrustAnchorRootCertificate.crt")],
    crls: [der("crls/TrustAnchorRootCRL.crl"), ...crls],
    revocation: "require",
    policies,
  };
  const { certificate } = checkSignerInfo(signerInfos, {
    version: integer(1),
    digest: "sha256",
    messageDigest: createHash("sha256").update(content).digest(),
    certificates,
  });
  validatePath(certificate, certificates, trust, at);
}

const names = available
  ? readdirSync(join(path, "smime")).map((file) => file.replace(/^Signed|\.eml$/g, ""))
  : ["no test data"];

describe.skipIf(!available)(`PKITS ${reason}`, () => {
  const cases = names.flatMap((name) =>
    (asked[name] ?? [{ settings: {}, isValid: name.startsWith("Valid") }]).map(({ settings, isValid }) => ({
      name,
      settings,
      isValid: isValid && !refusedAlgorithms.includes(name),
    })),
  );

  test("there are 224 messages, and each setting names one", () => {
    expect(names).toHaveLength(224);
    expect(Object.keys(asked).filter((name) => !names.includes(name))).toEqual([]);
  });

  test.each(cases)("$name with $settings: $isValid", ({ name, settings, isValid }) => {
    if (isValid) return verify(name, settings);
    try {
      verify(name, settings);
    } catch (thrown) {
      // The messages of 4.1.4 to 4.1.6 are refused at the signature already: DSA.
      expect(["CERTIFICATE_INVALID", "ENVELOPE_NOT_OPENED"]).toContain(codeOf(thrown));
      return;
    }
    expect.fail("accepted");
  });

  test("only DSA keys without parameters, and a signature that is no whole octets, make a certificate unreadable", () => {
    const unreadable = readdirSync(join(path, "certs")).filter((file) => {
      try {
        return !readCertificate(readFileSync(join(path, "certs", file)));
      } catch {
        return true;
      }
    });
    expect(unreadable).toEqual([
      "BadSignedCACert.crt",
      "DSAParametersInheritedCACert.crt",
      "InvalidDSASignatureTest6EE.crt",
      "ValidDSAParameterInheritanceTest5EE.crt",
    ]);
  });
});

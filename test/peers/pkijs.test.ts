/** PKI.js, another implementation of CMS, verifies what we sign: manifests and receipts, with each kind of key. */
import { generateKeyPairSync, webcrypto } from "node:crypto";
import type * as asn1 from "asn1js";
import * as pkijs from "pkijs";
import { beforeAll, describe, expect, test } from "vitest";
import { derToPem } from "../../envelope/certificate.ts";
import { issueCertificate } from "../../envelope/issue.ts";
import { signerFrom } from "../../envelope/keys.ts";
import { signReceipt } from "../../envelope/receipt.ts";
import { manifestContentType, signDetached } from "../../envelope/signed-data.ts";

beforeAll(() => {
  pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto as never }));
});

const now = new Date();
const content = Buffer.from(JSON.stringify({ profile: "semrs-2", title: "出院病摘" }));

/** A signer with a certificate of a CA made for it. */
function signer(kind: "ec" | "rsa") {
  const key = () =>
    kind === "ec"
      ? generateKeyPairSync("ec", { namedCurve: "prime256v1" })
      : generateKeyPairSync("rsa", { modulusLength: 3072 });
  const [authority, own] = [key(), key()];
  const dates = {
    serial: Uint8Array.of(0x41, 7),
    notBefore: new Date(now.getTime() - 60_000),
    notAfter: new Date(now.getTime() + 864e5),
  };
  const ca = issueCertificate(
    { subject: { commonName: "CA", organization: "x" }, publicKey: authority.publicKey, profile: "ca", ...dates },
    { own: authority.privateKey },
  );
  const certificate = issueCertificate(
    {
      subject: { commonName: "a sign", organization: "a" },
      publicKey: own.publicKey,
      profile: "sign",
      ...dates,
      serial: Uint8Array.of(0x41, 8),
    },
    { certificate: ca, privateKey: authority.privateKey },
  );
  return signerFrom(
    String(own.privateKey.export({ format: "pem", type: "pkcs8" })),
    derToPem(certificate, "CERTIFICATE"),
  );
}

const parsed = (der: Uint8Array): pkijs.SignedData => {
  const info = pkijs.ContentInfo.fromBER(Uint8Array.from(der).buffer);
  expect(info.contentType).toBe(pkijs.ContentInfo.SIGNED_DATA);
  const signed = new pkijs.SignedData({ schema: info.content });
  // PKI.js knows a key by SHA-1 of its bits and does not look at the certificate's own identifier (RFC 7093): it is told which.
  const certificate = signed.certificates?.find((each) => each instanceof pkijs.Certificate);
  const [signerInfo] = signed.signerInfos;
  if (certificate && signerInfo)
    signerInfo.sid = new pkijs.IssuerAndSerialNumber({
      issuer: certificate.issuer,
      serialNumber: certificate.serialNumber,
    });
  return signed;
};

describe.each(["ec", "rsa"] as const)("signed with an %s key", (kind) => {
  test("a manifest, detached; and not when one octet of it differs", async () => {
    const signed = parsed(await signDetached(content, manifestContentType, signer(kind), now));
    expect(await signed.verify({ signer: 0, data: Uint8Array.from(content).buffer })).toBe(true);
    const changed = Uint8Array.from(content);
    changed[3] = (changed[3] ?? 0) ^ 1;
    expect(await signed.verify({ signer: 0, data: changed.buffer }).catch(() => false)).toBe(false);
  });
  test("a receipt, with its content inside", async () => {
    const receipt = {
      message: "0".repeat(32),
      id: "1".repeat(32),
      manifestSha256: "2".repeat(64),
      from: "a",
      to: "b",
      verdict: "stored",
      receivedAt: "2026-01-02T03:04:05Z",
      names: [],
    } as const;
    const signed = parsed(await signReceipt(receipt, signer(kind), now));
    expect(await signed.verify({ signer: 0 })).toBe(true);
    const inside = signed.encapContentInfo.eContent as asn1.OctetString;
    expect(JSON.parse(Buffer.from(inside.getValue()).toString())).toEqual(receipt);
  });
});

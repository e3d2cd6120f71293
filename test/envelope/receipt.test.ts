import { describe, expect, test } from "vitest";
import { type Receipt, signReceipt, verifyReceipt } from "../../envelope/index.ts";
import { manifestContentType, receiptContentType, signAttached } from "../../envelope/signed-data.ts";
import { a, authority, b, ca, later, now, ownerAmong, parties, party, registry, trust } from "./parties.ts";
import { flipped, message } from "./samples.ts";

const receipt: Receipt = {
  message,
  id: "f".repeat(32),
  manifestSha256: "1".repeat(64),
  from: registry.org,
  to: a.org,
  verdict: "stored",
  receivedAt: "2026-05-04T12:00:00Z",
  names: ["2".repeat(64)],
};
const checks = { trust, now, partner: ownerAmong(parties) };
const refused = expect.objectContaining({ name: "Fault", code: "ENVELOPE_NOT_OPENED" });
const refusal = (bytes: Uint8Array, changes: Partial<typeof checks> = {}): unknown => {
  try {
    return verifyReceipt(bytes, { ...checks, ...changes });
  } catch (thrown) {
    return thrown;
  }
};
const signed = (content: string, contentType = receiptContentType) =>
  signAttached(Buffer.from(content), contentType, registry.signer, now);

describe("a receipt", () => {
  test("says what was signed, and who signed it", async () => {
    expect(verifyReceipt(await signReceipt(receipt, registry.signer, now), checks)).toEqual({
      receipt,
      org: "registry",
    });
  });

  test("is refused with a bit changed anywhere", async () => {
    const bytes = await signReceipt(receipt, registry.signer, now);
    for (let at = 0; at < bytes.length; at += 7) expect(refusal(flipped(bytes, at)), `octet ${at}`).toEqual(refused);
  });

  test("counts only from the one who signed it", async () => {
    expect(refusal(await signReceipt(receipt, b.signer, now))).toEqual(refused);
    const stranger = party(registry.org, authority("another-ca"));
    expect(refusal(await signReceipt(receipt, stranger.signer, now))).toEqual(refused);
    expect(
      refusal(await signReceipt(receipt, stranger.signer, now), {
        partner: () => ({ org: registry.org, profiles: [] }),
      }),
    ).toEqual(refused);
    expect(refusal(await signReceipt(receipt, registry.signer, now), { partner: () => undefined })).toEqual(refused);
  });

  test("is refused when its signer's certificate has expired or was revoked", async () => {
    const bytes = await signReceipt(receipt, registry.signer, now);
    expect(refusal(bytes, { now: later(400 * 24 * 3600 * 1000) })).toEqual(refused);
    expect(refusal(bytes, { trust: { ...trust, crls: [ca.crl([registry.signer.certificate])] } })).toEqual(refused);
  });

  test("is read strictly", async () => {
    const json = JSON.stringify(receipt);
    const wrong = [
      json.replace('"stored"', '"maybe"'),
      json.replace('"names"', '"note":"x","names"'),
      json.replace('"names"', '"id":"x","names"'),
      json.replace("2026-05-04T12:00:00Z", "2026-05-04"),
      json.replace("1".repeat(64), "A".repeat(64)),
      `${json} x`,
      "null",
      "",
    ];
    expect(refusal(await signed(json))).toEqual({ receipt, org: "registry" });
    for (const content of wrong) expect(refusal(await signed(content)), content.slice(0, 20)).toEqual(refused);
  });

  test("is not a manifest's signature, nor the other way round", async () => {
    expect(refusal(await signed(JSON.stringify(receipt), manifestContentType))).toEqual(refused);
  });

  test("that no reader would take is not signed", async () => {
    await expect(signReceipt({ ...receipt, message: "1" }, registry.signer, now)).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
  });
});

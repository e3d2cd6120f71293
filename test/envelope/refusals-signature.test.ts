/** What is refused for its signature, or for the certificate behind it. */
import { describe, expect, test } from "vitest";
import { open } from "../../envelope/index.ts";
import { signerFrom, unwrapperFrom } from "../../envelope/keys.ts";
import { wrapFor } from "../../envelope/recipient.ts";
import { manifestContentType, signAttached } from "../../envelope/signed-data.ts";
import { forge } from "./forge.ts";
import { a, authority, b, c, ca, dayMs, issue, later, now, openingOf, party, trust } from "./parties.ts";
import { check, openAll } from "./refusals.ts";
import { flipped, inPieces, mebibyte } from "./samples.ts";

const stranger = party("hospital-a", authority("another-ca"));
const expired = issue(a.org, "sign", ca, "ec", { notBefore: later(-9 * dayMs), notAfter: later(-8 * dayMs) });
const tls = issue(a.org, "tls", ca);
const wraps = issue(a.org, "decrypt", ca);
const signerOf = (pem: { key: string; certificate: string }) => signerFrom(pem.key, pem.certificate);
/** Everyone here is taken for hospital A, so that only the certificate decides. */
const anyone = { partner: () => ({ org: a.org, profiles: ["semrs-2"] }) };

describe("signature and certificates", () => {
  check(
    {
      "52 the manifest changed, the signature kept": {
        sent: (signed) => Buffer.from(Buffer.from(signed).toString().replace('"116"', '"113"')),
      },
      "53 signed by another valid hospital": { signer: c.signer },
      "53 signed by another hospital, with A's certificate in the manifest": {
        signer: c.signer,
        manifest: (manifest) => ({ ...manifest, sender: { ...manifest.sender, cert: "0".repeat(64) } }),
      },
      "55 attached content": { signature: (_, manifest) => signAttached(manifest, manifestContentType, a.signer, now) },
      "56 no signature at all": { signature: () => Buffer.from("3000", "hex") },
      "60 to does not name us": {
        manifest: ({ to, ...manifest }) => ({ ...manifest, to: to.map((each) => ({ ...each, org: c.org })) }),
      },
      "60 to names another of our certificates": {
        manifest: ({ to, ...manifest }) => ({ ...manifest, to: to.map((each) => ({ ...each, cert: "0".repeat(64) })) }),
      },
      "60 to names more than the RecipientInfos": {
        manifest: ({ to, ...manifest }) => ({ ...manifest, to: [...to, ...to] }),
      },
      "60 a RecipientInfo that to does not name": {
        recipients: async (infos, cek) => [...infos, await wrapFor(c.unwrapper.certificate, cek)],
      },
      "66 the signer's certificate has expired": { signer: signerOf(expired), opening: anyone },
      "67 the signer's certificate is revoked": {
        opening: { trust: { ...trust, crls: [ca.crl([a.signer.certificate])] } },
      },
      "68 the revocation list is stale": { opening: { trust: { ...trust, crls: [ca.crl([], later(-500))] } } },
      "68 no revocation list": { opening: { trust: { ...trust, crls: [] } } },
      "71 a certificate that only wraps keys": { signer: signerOf(wraps), opening: anyone },
      "73 a signer of another authority": { signer: stranger.signer, opening: anyone },
      "73 a signer that no partner owns": { opening: { partner: () => undefined } },
      "77 signed half an hour before it was created": { signedAt: later(-30 * 60_000) },
      "86 id-data as content type": { contentType: "1.2.840.113549.1.7.1" },
      "87 signed by a TLS certificate": { signer: signerOf(tls), opening: anyone },
    },
    "ENVELOPE_NOT_OPENED",
    /^signature: |^the sender is not|^to and the RecipientInfos|^the envelope is not for our|^signing-time/,
  );

  test("42 a bit flipped anywhere in the body of a small envelope is refused", async () => {
    const { headers, body } = await forge({ sizes: [40] });
    for (let place = 0; place < body.length; place += 11) {
      await expect(openAll({ headers, body: flipped(body, place) }), `octet ${place}`).rejects.toMatchObject({
        name: "Fault",
      });
    }
  });

  test("a body that is cut anywhere is refused", async () => {
    const { headers, body } = await forge({ sizes: [40] });
    for (let end = 0; end < body.length; end += 41) {
      await expect(openAll({ headers, body: body.subarray(0, end) }), `octet ${end}`).rejects.toMatchObject({
        name: "Fault",
      });
    }
  });

  test("42 a bit flipped anywhere in the signature is refused", async () => {
    for (let place = 0; place < 600; place += 9) {
      const forged = await forge({ signature: (signature) => flipped(signature, place) });
      await expect(openAll(forged), `octet ${place}`).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
    }
  });

  test("76 a rotated key still opens while it is kept, and no longer after", async () => {
    const rotated = issue(b.org, "decrypt", ca);
    const fresh = unwrapperFrom(rotated.key, rotated.certificate);
    const forged = await forge({});
    expect(await openAll(forged, { unwrappers: [fresh, b.unwrapper] })).toBe(2);
    await expect(openAll(forged, { unwrappers: [fresh] })).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });

  test("nothing of part 5 is asked for before the signature holds", async () => {
    const { headers, body } = await forge({ sizes: [mebibyte], signer: c.signer });
    let taken = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const piece of inPieces(body, 512)) {
        taken += piece.length;
        yield piece;
      }
    }
    await expect(open(headers, counted(), openingOf(b))).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
    expect(taken).toBeLessThan(10_000);
  });
});

/** Refusals 33 and 51, in each profile where they mean something: keys of a wrong length, and octets that open under two keys. */
import { createDecipheriv } from "node:crypto";
import { describe, expect, test } from "vitest";
import { context, octetString, tlv } from "../../envelope/cms/der.ts";
import { digestPart, type PartFacts } from "../../envelope/index.ts";
import { wrapFor } from "../../envelope/recipient.ts";
import { type Forgery, forge, replaced } from "./forge.ts";
import { cbc } from "./forge2017.ts";
import { b } from "./parties.ts";
import { check, inPart, openAll } from "./refusals.ts";
import { check2017 } from "./refusals2017.ts";
import { cda, document, inPieces, octets } from "./samples.ts";
import { envelopedFor, headers, openAll as openAllSmime4 } from "./smime4-forge.ts";
import { underTwoKeys, wrapOf } from "./two-keys.ts";

const [one, other, nonce] = [octets(32, 61), octets(32, 62), octets(12, 63)];
const clear = octets(4096, 64);
const both = underTwoKeys(clear, nonce, one, other);

const opened = (key: Uint8Array): Buffer => {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 }).setAuthTag(both.tag);
  return Buffer.concat([decipher.update(both.cipher), decipher.final()]);
};

test("the octets open under both keys, to the clear text under one and to something else under the other", () => {
  expect(opened(one).subarray(0, -16)).toEqual(clear.subarray(0, -16));
  expect(opened(other).subarray(0, -16)).not.toEqual(clear.subarray(0, -16));
});

describe("semrs-2", () => {
  /** An image whose digests are those of what it opens to under `one`, sealed with this key. */
  const image = async (cek: Uint8Array): Promise<Forgery> => {
    const digests = await digestPart(inPieces(opened(one)), "segments");
    const facts: PartFacts = { ...digests, cek, nonce, tag: both.tag };
    const content = {
      role: "dicom",
      type: "application/dicom",
      sop: "1.2.3",
      facts,
      cipher: () => inPieces(both.cipher),
    } as const;
    return { draft: { content: [await document(cda), content] } };
  };
  test("51 control: under the key that was signed for it opens", async () => {
    expect(await openAll(await forge(await image(one)))).toBe(2);
  });
  test("51 under the other key its tag holds, and it is refused for its digest", async () => {
    await expect(openAll(await forge(await image(other)))).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
      message: expect.stringMatching(/a digest differs from what was signed/),
    });
  });
  check(
    {
      ...Object.fromEntries(
        [8, 24].map((length) => [
          `33 AES-KW of a key of ${length} octets for part 5`,
          inPart(5, (all) => replaced(all, 62, [4, length + 8, ...wrapOf(octets(32), octets(length))], 42)),
        ]),
      ),
    },
    "ENVELOPE_NOT_OPENED",
    /^CMS: /,
  );
  test.each([16, 24])("33 AES-KW of a key of %i octets for the receiver", async (length) => {
    const recipients = async (_: unknown, cek: Uint8Array) => [
      await wrapFor(b.unwrapper.certificate, cek.subarray(0, length)),
    ];
    await expect(openAll(await forge({ recipients }))).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
      message: "the one-time key does not unwrap",
    });
  });
});

describe("smime-4", () => {
  test("51 content whose tag holds under the receiver's key, and that opens to something else under it", async () => {
    const body = await envelopedFor(clear, {
      recipients: async () => [await wrapFor(b.unwrapper.certificate, other)],
      enveloped: () => ({ nonce, encrypted: tlv(context(0, false), both.cipher), mac: octetString(both.tag) }),
    });
    await expect(openAllSmime4({ headers, body })).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
      message: expect.stringMatching(/^MIME: |S\/MIME/),
    });
  });
  test("33 AES-KW of a key of 16 octets", async () => {
    const body = await envelopedFor(clear, {
      recipients: async (_, cek) => [await wrapFor(b.unwrapper.certificate, cek.subarray(0, 16))],
    });
    await expect(openAllSmime4({ headers, body })).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });
});

describe("semrs-2017", () => {
  /** CBC commits to nothing: one in 256 ciphertexts ends rightly under any other key. */
  const ambiguous = (key: Uint8Array): Uint8Array => {
    for (let attempt = 0; attempt < 10_000; attempt += 1) {
      const sealed = cbc(one, cda);
      const decipher = createDecipheriv("aes-256-cbc", key, sealed.subarray(0, 16)).setAutoPadding(false);
      const last = Buffer.concat([decipher.update(sealed.subarray(16)), decipher.final()]).at(-1);
      if (last === 1) return sealed;
    }
    throw new Error("one in 256 is not among 10,000");
  };
  check2017({
    "51 a document that opens under the envelope's key, and was signed under another": {
      key: other,
      sealed: (which, right, key) => (which === "1" ? ambiguous(key) : right),
      cause: /^part 2: not the digest of part 1; part 3: signature: does not verify$/,
    },
  });
});

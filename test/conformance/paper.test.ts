/**
 * Wu and Chiu (2017), clause by clause: the headers of Table 1, the steps of Table 2 on what we seal, the steps of Table 3 on
 * what another writer sealed, and the places where the paper contradicts itself. What we seal is taken apart here with
 * nothing but node:crypto.
 */
import { constants, createDecipheriv, privateDecrypt, verify } from "node:crypto";
import { describe, expect, test } from "vitest";
import { contentOf, open2017, type RawHeaders, seal, seal2017 } from "../../envelope/index.ts";
import { headerNames } from "../../envelope/manifest.ts";
import { readParts } from "../../envelope/mime.ts";
import { cbc, documentDigest, forge2017, publicKeyOf, signedBy, wrapped } from "../envelope/forge2017.ts";
import {
  bodyOf2017,
  by,
  clear2017,
  draft2017,
  from,
  hospitalA,
  hospitalB,
  opened2017,
  opening2017,
} from "../envelope/legacy.ts";
import { a, b, now } from "../envelope/parties.ts";
import { causeOf } from "../envelope/refusals2017.ts";
import { cda, collect, draftOf, inPieces, octets, sha256 } from "../envelope/samples.ts";

const images = [octets(1000, 2), octets(64, 3)] as const;

async function partsOf(headers: RawHeaders, body: AsyncIterable<Uint8Array>): Promise<readonly Buffer[]> {
  const [, boundary = ""] = /boundary="(.*)"/.exec(headers.at(-1)?.[1] ?? "") ?? [];
  const parts: Buffer[] = [];
  for await (const part of readParts(body, boundary, 10, "semrs-2017")) parts.push(await collect(part));
  return parts;
}

const decrypt = (key: Uint8Array, sealed: Buffer = Buffer.alloc(0)): Buffer => {
  const decipher = createDecipheriv("aes-256-cbc", key, sealed.subarray(0, 16));
  return Buffer.concat([decipher.update(sealed.subarray(16)), decipher.final()]);
};

/** What hospital A seals, taken apart with hospital B's private key. */
async function takenApart() {
  const envelope = await seal2017(draft2017([1000, 64], by("rsa-pkcs1")), hospitalA.signer);
  const parts = await partsOf(envelope.headers, envelope.body());
  const padding = constants.RSA_PKCS1_PADDING;
  const key = privateDecrypt({ key: hospitalB.pem.decryptKey, padding }, parts[3] ?? Buffer.alloc(0));
  const value = (name: string): string => {
    const [, sealed = ""] = envelope.headers.find(([each]) => each === name) ?? [];
    return decrypt(key, Buffer.from(sealed, "base64")).toString("utf8");
  };
  return { envelope, parts, key, value };
}
const taking = takenApart();

describe("paper Table 1: each value, encrypted under the one-time key", () => {
  test.each([
    ["X-EEC-Sender", "hospital-a"],
    ["X-EEC-Receiver", "hospital-b"],
    ["X-EEC-SymmetricAlg", "AES/CBC/PKCS5Padding"],
    ["X-EEC-AsymmetricAlg", "RSA/ECB/PKCS1Padding"],
    ["X-EEC-DistAlg", "SHA-256"],
    ["X-EEC-SignAlg", "SHA256withRSA"],
    ["X-EEC-BodypartCnt", "6"],
    ["X-EEC-HeaderCnt", "9"],
    ["X-EEC-MessageType", "116"],
  ])("paper Table 1: %s", async (name, expected) => {
    const { value } = await taking;
    expect(value(name)).toBe(expected);
    // Another value than configuration and body say is refused; a form that does not exist is no document.
    const other = name === "X-EEC-MessageType" ? "112" : `${expected}0`;
    const cause = name === "X-EEC-MessageType" ? "no document" : "not as agreed";
    expect(await causeOf({ values: { [name]: other } })).toBe(`${name}: ${cause}`);
  });
});

describe("paper Table 2: sealing at hospital A", () => {
  test("paper Table 2 step 1: the CDA as it is, and a one-time key drawn for it alone", async () => {
    const [one, two] = [await taking, await takenApart()];
    expect(one.key).toHaveLength(32);
    expect(one.key.equals(two.key)).toBe(false);
    expect(decrypt(one.key, one.parts[0]).equals(cda)).toBe(true);
  });

  test("paper Table 2 steps 2–3: the values of the nine headers, each under an IV of its own", async () => {
    const { envelope } = await taking;
    const own = envelope.headers.filter(([name]) => name.startsWith("X-EEC-"));
    expect(own.map(([name]) => name)).toEqual(headerNames);
    const ivs = own.map(([, value]) => Buffer.from(value, "base64").subarray(0, 16).toString("hex"));
    expect(new Set(ivs).size).toBe(9);
  });

  test("paper Table 2 step 4: part 1 is EncEMR", async () => {
    const { key, parts } = await taking;
    expect(decrypt(key, parts[0]).equals(cda)).toBe(true);
  });

  test("paper Table 2 step 5: mDist is the digest of the CDA", async () => {
    const { envelope } = await taking;
    expect(envelope.documentSha256).toBe(sha256(cda));
  });

  test("paper Table 2 step 6: the signature is over the octets of mDist", async () => {
    const { envelope } = await taking;
    const key = publicKeyOf(hospitalA.pem.signCertificate);
    expect(verify("sha256", documentDigest(cda), key, envelope.signature)).toBe(true);
  });

  test("paper Table 2 step 7: part 2 is EncDist", async () => {
    const { key, parts } = await taking;
    expect(decrypt(key, parts[1]).equals(documentDigest(cda))).toBe(true);
  });

  test("paper Table 2 step 8: part 3 is EncSign", async () => {
    const { key, parts, envelope } = await taking;
    expect(decrypt(key, parts[2]).equals(envelope.signature)).toBe(true);
  });

  test("paper Table 2 step 9: each DICOM document is encrypted", async () => {
    const { key, parts } = await taking;
    expect(parts.slice(4).map((part) => decrypt(key, part))).toEqual(images.map((image) => Buffer.from(image)));
  });

  test("paper Table 2 step 10: part 4 is EncKey, for the receiver alone", async () => {
    const { key, parts } = await taking;
    const opened = [hospitalB, hospitalA].map(({ unwrapper }) => unwrapper.unwrap(parts[3] ?? cda, "rsa-pkcs1"));
    expect(opened.map((each) => key.equals(each))).toEqual([true, false]);
  });

  test("paper Table 2 step 11: 1 EncEMR, 2 EncDist, 3 EncSign, 4 EncKey, 5 … n DICOM", async () => {
    const { envelope, parts } = await taking;
    // An IV and whole blocks; 32 octets of digest and 256 of signature and of an RSA-2048 key.
    const blocks = (size: number): number => 16 + (Math.floor(size / 16) + 1) * 16;
    expect(parts.map(({ length }) => length)).toEqual([blocks(cda.length), 64, 288, 256, blocks(1000), blocks(64)]);
    expect(await bodyOf2017(envelope)).toHaveLength(envelope.contentLength);
  });
});

describe("paper Table 3: opening at hospital B what another writer sealed", () => {
  const opened = async () => {
    const { headers, body } = forge2017({ images });
    return await opened2017(headers, inPieces(body, 777));
  };

  test("paper Table 3 step 1: the parts are taken, fewer than four are no envelope", async () => {
    expect((await opened()).instances.map(({ n }) => n)).toEqual([5, 6]);
    const { headers, body } = forge2017({ images: [], parts: (parts) => parts.slice(0, 3) });
    await expect(open2017(headers, inPieces(body), opening2017())).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
  });

  test("paper Table 3 step 2: the one-time key is unwrapped with the private key", async () => {
    for (const transport of ["rsa-pkcs1", "rsa-oaep"] as const) {
      const { headers, body } = forge2017({ transport });
      expect((await opened2017(headers, inPieces(body), from(transport))).messageType).toBe("116");
    }
    expect(await causeOf({ encKey: wrapped(octets(32, 9), "rsa-oaep") })).toContain("part 2: not the digest of part 1");
  });

  test("paper Table 3 step 3: the headers are decrypted", async () => {
    expect(await opened()).toMatchObject({ org: "hospital-a", messageType: "116" });
  });

  test("paper Table 3 step 4: EncEMR is decrypted", async () => {
    expect(cda.equals((await opened()).document)).toBe(true);
  });

  test("paper Table 3 step 5: the digest is decrypted", async () => {
    expect((await opened()).documentSha256).toBe(sha256(cda));
  });

  test("paper Table 3 step 6: the signature is decrypted", async () => {
    const expected = signedBy(hospitalA.pem.signKey, documentDigest(cda));
    expect(expected.equals((await opened()).signature)).toBe(true);
  });

  test("paper Table 3 step 7: the DICOM documents are decrypted, and nothing is claimed of them", async () => {
    const result = await opened();
    expect((await clear2017(result)).slice(1).map((image) => Uint8Array.from(image))).toEqual(
      images.map((image) => Uint8Array.from(image)),
    );
    expect(result.instances.map(({ integrity, size }) => [integrity, size])).toEqual([
      ["none", 1000],
      ["none", 64],
    ]);
  });
});

describe("where the paper contradicts itself", () => {
  test("paper Table 3 step 4 decrypts hisEMR: EncEMR is what is decrypted", async () => {
    expect(await causeOf({ sealed: (which, right) => (which === "1" ? cda : right) })).toContain(
      "part 2: not the digest of part 1",
    );
  });

  test("paper Table 3 step 6 encrypts EncSign: it is decrypted", async () => {
    const signature = signedBy(hospitalA.pem.signKey, documentDigest(cda));
    const cause = await causeOf({
      sealed: (which, right, key) => (which === "3" ? cbc(key, cbc(key, signature)) : right),
    });
    expect(cause).toBe("part 3: signature: does not verify");
  });

  test("paper §3.3 (7) against Table 3 step 7 and Figure 2: DICOM is 5 … n, the key is part 4", async () => {
    const { parts } = await taking;
    expect(parts[3]).toHaveLength(256);
    const cause = await causeOf({
      parts: ([one, two, three, four, five]) => [one, two, three, five, four].filter((part) => part !== undefined),
    });
    expect(cause).toContain("part 2: not the digest of part 1");
  });

  test("paper Table 3 has no verification: another CDA, digest or signature is refused", async () => {
    const other = Buffer.from("<ClinicalDocument/>");
    const { pem } = hospitalA;
    const signature = signedBy(pem.signKey, documentDigest(cda));
    const [wrongDigest, wrongSignature] = ["part 2: not the digest of part 1", "part 3: signature: does not verify"];
    expect(await causeOf({ document: other, digest: documentDigest(cda) })).toBe(`${wrongDigest}; ${wrongSignature}`);
    expect(await causeOf({ document: other, signature })).toBe(wrongSignature);
    expect(await causeOf({ signature: signedBy(hospitalB.pem.signKey, documentDigest(cda)) })).toBe(wrongSignature);
    expect(await causeOf({ digest: octets(32, 4), signature })).toBe(wrongDigest);
  });

  test("paper Table 2 step 6 never uses byteSign: mDist alone is signed, no fingerprint with it", async () => {
    const digest = documentDigest(cda);
    const fingerprint = documentDigest(hospitalA.signer.certificate);
    const signature = signedBy(hospitalA.pem.signKey, Buffer.concat([digest, fingerprint]));
    expect(await causeOf({ signature })).toBe("part 3: signature: does not verify");
  });

  test("paper Table 2 step 9 guards on EncEMR and knows one DICOM: none, one and many", async () => {
    for (const sizes of [[], [1], [1, 2, 3]]) {
      const envelope = await seal2017(draft2017(sizes), hospitalA.signer);
      const opened = await opened2017(envelope.headers, envelope.body());
      expect(opened.instances.map(({ size }) => size)).toEqual(sizes);
    }
  });

  test("paper Table 2 steps 2–3 name algorithms under themselves: configuration decides, values are compared after", async () => {
    const { headers, body } = forge2017({ transport: "rsa-pkcs1" });
    expect((await opened2017(headers, inPieces(body), from("rsa-pkcs1"))).messageType).toBe("116");
    // The same octets from a partner that agreed on OAEP: the message does not choose.
    expect(await causeOf({ transport: "rsa-pkcs1" })).toContain("X-EEC-AsymmetricAlg: ");
    const values = { "X-EEC-SymmetricAlg": "AES/GCM/NoPadding" };
    expect(await causeOf({ values })).toBe("X-EEC-SymmetricAlg: not as agreed");
  });

  test("paper §3.1 (3)–(5) registry messages without a body layout: a command is part 1 of semrs-2, never here", async () => {
    for (const messageType of ["register", "query", "retrieve", "change", "receipt"]) {
      await expect(seal2017(draft2017([], { messageType }), hospitalA.signer)).rejects.toMatchObject({
        code: "ENVELOPE_MALFORMED",
      });
      expect(await causeOf({ values: { "X-EEC-MessageType": messageType } })).toBe("X-EEC-MessageType: no document");
    }
    const content = [await contentOf(Buffer.from('{"command":"query"}'), "command", "application/json")];
    const to = [{ org: b.org, certificate: b.unwrapper.certificate }];
    const envelope = await seal(draftOf(content, { purpose: "query", messageType: "query", to }), a.signer, now);
    expect(envelope.contentLength).toBeGreaterThan(0);
  });

  test("paper steps 2 and 7 of the exchange: what was sealed for repository A is not for B", async () => {
    const values = { "X-EEC-Receiver": "repository-a" };
    expect(await causeOf({ values })).toBe("X-EEC-Receiver: not as agreed");
  });
});

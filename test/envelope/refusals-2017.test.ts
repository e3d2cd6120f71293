/** semrs-2017: what is refused, each time with the same words. Numbers are those of the list the format was designed against. */
import { constants, privateDecrypt, publicEncrypt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { open2017 } from "../../envelope/index.ts";
import { cbc, documentDigest, type Forgery, forge2017, publicKeyOf, signedBy, wrapped } from "./forge2017.ts";
import { hospitalA, hospitalB, keyBook, legacyParty, memorySpool, opened2017, opening2017, peerA } from "./legacy.ts";
import { a, authority, ca, dayMs, issue, later, trust } from "./parties.ts";
import { causeOf, check2017, refusal } from "./refusals2017.ts";
import { cda, flipped, inPieces, octets } from "./samples.ts";

/** One header or part in place of the right one, its clear text ending as it is given. */
const ending = (which: string, clear: Uint8Array, padding: readonly number[]): Forgery => ({
  sealed: (each, right, key) => (each === which ? cbc(key, clear, Uint8Array.from(padding)) : right),
});
const of = (count: number, octet: number): readonly number[] => Array.from({ length: count }, () => octet);
const image = octets(100, 2);
const nothingFits = /^X-EEC-Sender: (padding|not as agreed); .*part 2: not the digest of part 1; part 3: signature: /;
/** RSA without padding: any encoding, right or wrong. */
const encoded = (block: Uint8Array): Uint8Array =>
  publicEncrypt(
    { key: publicKeyOf(hospitalB.pem.decryptCertificate), padding: constants.RSA_NO_PADDING },
    Buffer.concat([Buffer.alloc(256 - block.length), block]),
  );
const pkcs1 = { opening: { peer: { ...peerA, transport: "rsa-pkcs1" } }, transport: "rsa-pkcs1" } as const;
const block = (before: readonly number[], key: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.from(before), key]);
const key = octets(32, 50);

describe("94 padding variants", () => {
  check2017({
    "00": { ...ending("5", image, of(12, 0)), cause: "part 5: padding" },
    "17": { ...ending("5", image.subarray(0, 96), of(16, 17)), cause: "part 5: padding" },
    ff: { ...ending("5", image, of(12, 255)), cause: "part 5: padding" },
    "one octet of it wrong": { ...ending("5", image, [11, ...of(11, 12)]), cause: "part 5: padding" },
    "the last but one wrong": { ...ending("5", image, [...of(10, 12), 11, 12]), cause: "part 5: padding" },
    "ISO 7816-4": { ...ending("5", image, [128, ...of(11, 0)]), cause: "part 5: padding" },
    "ISO 10126, the count alone right": { ...ending("5", image, [...of(11, 7), 12]), cause: "part 5: padding" },
    "of the CDA": { ...ending("1", cda, of(16 - (cda.length % 16), 0)), cause: /^part 1: padding; part 2: not the/ },
    "of the digest": {
      ...ending("2", documentDigest(cda), [...of(15, 3), 16]),
      cause: /^part 2: padding; part 2: not the/,
    },
    "of the signature": {
      ...ending("3", signedBy(hospitalA.pem.signKey, documentDigest(cda)), of(16, 0)),
      cause: /^part 3: padding; part 3: signature: does not verify$/,
    },
    "of a header": {
      ...ending("X-EEC-DistAlg", Buffer.from("SHA-256"), of(9, 0)),
      cause: "X-EEC-DistAlg: padding; X-EEC-DistAlg: not as agreed",
    },
    "of the message type, which would be a document": {
      ...ending("X-EEC-MessageType", Buffer.from("116"), [12, ...of(12, 13)]),
      cause: /^X-EEC-MessageType: padding/,
    },
  });

  test.each([96, 111])("control: padding as it should be opens, after %i octets", async (size) => {
    const count = 16 - (size % 16);
    const { headers, body } = forge2017(ending("5", octets(size, 2), of(count, count)));
    expect((await opened2017(headers, inPieces(body))).instances[0]?.size).toBe(size);
  });

  check2017({
    "an IV and nothing": {
      sealed: (which, right) => (which === "5" ? right.subarray(0, 16) : right),
      cause: /^part 5/,
    },
    "nothing at all": { sealed: (which, right) => (which === "5" ? right.subarray(0, 0) : right), cause: /^part 5/ },
    "half a block": { sealed: (which, right) => (which === "5" ? right.subarray(0, 40) : right), cause: /^part 5/ },
    "half a block of the CDA": {
      sealed: (which, right) => (which === "1" ? right.subarray(0, 40) : right),
      cause: /^part 1: padding; part 2: not the digest/,
    },
    "an empty CDA": { document: new Uint8Array(), cause: "part 1: empty" },
    "an empty instance": { images: [new Uint8Array()], cause: "part 5: padding" },
    "a digest that is cut short": { digest: documentDigest(cda).subarray(0, 31), cause: /^part 2: not the digest/ },
    "a digest with an octet more": {
      digest: Buffer.concat([documentDigest(cda), octets(1)]),
      signature: signedBy(hospitalA.pem.signKey, documentDigest(cda)),
      cause: "part 2: not the digest of part 1",
    },
    "a header that is not canonical base64": {
      headers: (headers) => headers.map(([name, value]) => [name, name === "X-EEC-Sender" ? `${value}=` : value]),
      cause: "X-EEC-Sender: padding",
    },
    "a header that is no base64": {
      headers: (headers) => headers.map(([name, value]) => [name, name === "X-EEC-Sender" ? "v2.-_" : value]),
      cause: /^X-EEC-Sender: padding/,
    },
  });
});

describe("94 wrong unwraps of part 4", () => {
  check2017({
    "49 a key of 16 octets": { encKey: wrapped(octets(16, 1), "rsa-oaep"), cause: nothingFits },
    "49 a key of 31 octets": { encKey: wrapped(octets(31, 1), "rsa-oaep"), cause: nothingFits },
    "49 a key of 33 octets": { encKey: wrapped(octets(33, 1), "rsa-oaep"), cause: nothingFits },
    "49 PKCS#1, a key of 31 octets": { ...pkcs1, encKey: wrapped(octets(31, 1), "rsa-pkcs1"), cause: nothingFits },
    "49 PKCS#1, a key of 33 octets": { ...pkcs1, encKey: wrapped(octets(33, 1), "rsa-pkcs1"), cause: nothingFits },
    "39 PKCS#1 where OAEP was agreed": { encKey: wrapped(key, "rsa-pkcs1"), key, cause: nothingFits },
    "38 OAEP with SHA-1": {
      key,
      encKey: publicEncrypt(publicKeyOf(hospitalB.pem.decryptCertificate), key),
      cause: nothingFits,
    },
    "38 OAEP with a label": {
      key,
      encKey: publicEncrypt(
        { key: publicKeyOf(hospitalB.pem.decryptCertificate), oaepHash: "sha256", oaepLabel: Buffer.from("x") },
        key,
      ),
      cause: nothingFits,
    },
    "PKCS#1, block type 1": { ...pkcs1, key, encKey: encoded(block([1, ...of(221, 255), 0], key)), cause: nothingFits },
    "PKCS#1, a zero in its padding": {
      ...pkcs1,
      key,
      encKey: encoded(block([2, ...of(100, 9), 0, ...of(120, 9), 0], key)),
      cause: nothingFits,
    },
    "PKCS#1, no zero before the key": {
      ...pkcs1,
      key,
      encKey: encoded(block([2, ...of(222, 9)], key)),
      cause: nothingFits,
    },
    nothing: { encKey: new Uint8Array(), cause: nothingFits },
    zero: { ...pkcs1, encKey: new Uint8Array(256), cause: nothingFits },
    "a number over the modulus": { encKey: new Uint8Array(256).fill(255), cause: nothingFits },
    "an octet too many": { encKey: Buffer.concat([wrapped(key, "rsa-oaep"), octets(1)]), key, cause: nothingFits },
    "for another hospital's key": {
      opening: { unwrapper: legacyParty("hospital-c").unwrapper },
      cause: nothingFits,
    },
  });

  test("control: PKCS#1 made by hand as it should be opens", async () => {
    const { headers, body } = forge2017({ ...pkcs1, key, encKey: encoded(block([2, ...of(221, 9), 0], key)) });
    expect((await opened2017(headers, inPieces(body), pkcs1.opening)).org).toBe("hospital-a");
  });

  test("OAEP with its first octet not 0, Manger's question, is as wrong as any other", () => {
    const padding = constants.RSA_NO_PADDING;
    const right = privateDecrypt({ key: hospitalB.pem.decryptKey, padding }, wrapped(key, "rsa-oaep"));
    const unwrap = (block: Uint8Array) => Buffer.from(hospitalB.unwrapper.unwrap(encoded(block), "rsa-oaep"));
    expect(unwrap(right).equals(key)).toBe(true);
    right[0] = 1;
    expect(unwrap(right).equals(key)).toBe(false);
  });

  test("an unwrap that fails gives 32 octets, the same for the same part 4 and others for another", () => {
    const unwrap = (wrong: Uint8Array) =>
      (["rsa-pkcs1", "rsa-oaep"] as const).map((each) =>
        Buffer.from(hospitalB.unwrapper.unwrap(wrong, each)).toString("hex"),
      );
    const [one, two] = [encoded(octets(200, 1)), encoded(octets(200, 2))];
    expect(unwrap(one)).toEqual(unwrap(one));
    expect(new Set([...unwrap(one), ...unwrap(two)].map((each) => each.length))).toEqual(new Set([64]));
    expect(unwrap(one)[0]).not.toBe(unwrap(two)[0]);
  });

  test("so a second attempt is as spent after a wrong unwrap as after a right one", async () => {
    for (const encKey of [encoded(octets(200, 1)), wrapped(key, "rsa-oaep")]) {
      const book = keyBook();
      const opening = { reserve: book.reserve.bind(book) };
      expect(await causeOf({ encKey }, opening)).not.toMatch(/used before/);
      expect(await causeOf({ encKey }, opening)).toMatch(/^the one-time key was used before/);
    }
  });
});

test("94 a spent key is not used again, not even to find out that all would be right", async () => {
  const cause = await causeOf({}, { reserve: async () => "spent" });
  expect(cause).toMatch(/^the one-time key was used before; X-EEC-Sender: .*; part 2: not the digest of part 1; /);
});

describe("who signed", () => {
  const weak = issue("hospital-a", "decrypt", ca, "rsa");
  const tls = issue("hospital-a", "tls", ca, "rsa");
  const old = issue("hospital-a", "sign", ca, "rsa", { notBefore: later(-9 * dayMs), notAfter: later(-dayMs) });
  const elsewhere = legacyParty("hospital-a", authority("another-ca"));
  const by = (signing: readonly Uint8Array[]) => ({ opening: { peer: { ...peerA, signing } } });
  const der = (pem: string): Uint8Array => Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ""), "base64");
  const signedWith = (pem: { readonly key: string; readonly certificate: string }) => ({
    ...by([der(pem.certificate)]),
    signature: signedBy(pem.key, documentDigest(cda)),
  });
  check2017({
    "53 another hospital": {
      signature: signedBy(hospitalB.pem.signKey, documentDigest(cda)),
      cause: "part 3: signature: does not verify",
    },
    "nobody that is known": { ...by([]), cause: "part 3: signature: no certificate of this partner" },
    "66 a certificate that expired": { ...signedWith(old), cause: /^part 3: signature: .* expired at / },
    "67 a certificate that was revoked": {
      opening: { trust: { ...trust, crls: [ca.crl([hospitalA.signer.certificate])] } },
      cause: /was revoked at/,
    },
    "68 no revocation list": { opening: { trust: { ...trust, crls: [] } }, cause: /no revocation list/ },
    "73 a certificate of another authority": {
      ...by([elsewhere.signer.certificate]),
      signature: signedBy(elsewhere.pem.signKey, documentDigest(cda)),
      cause: /no path leads/,
    },
    "87 a key that unwraps": { ...signedWith(weak), cause: /is not for signing/ },
    "87 a TLS key": { ...signedWith(tls), cause: /is not for signing/ },
    "a certificate of semrs-2": { ...by([a.signer.certificate]), cause: "part 3: signature: does not verify" },
    "42 a bit of the signature": {
      signature: flipped(signedBy(hospitalA.pem.signKey, documentDigest(cda)), 100),
      cause: "part 3: signature: does not verify",
    },
    "no signature": { signature: new Uint8Array(), cause: "part 3: signature: does not verify" },
  });

  test("either of two certificates while a key is rotated", async () => {
    const { headers, body } = forge2017();
    const signing = [der(old.certificate), hospitalA.signer.certificate];
    const opened = await opened2017(headers, inPieces(body), { peer: { ...peerA, signing } });
    expect(Buffer.from(opened.signer).equals(hospitalA.signer.certificate)).toBe(true);
  });
});

test("the cause stays short, however many parts do not open", async () => {
  const images = Array.from({ length: 300 }, () => image);
  const cause = await causeOf({ images, sealed: (which, right) => (Number(which) >= 5 ? right.subarray(1) : right) });
  expect(cause.split("; ").length).toBe(32);
});

test("85 whatever fails, the same is said and the same is done", async () => {
  const forgeries: readonly Forgery[] = [
    ending("5", image, of(12, 0)),
    ending("1", cda, of(16 - (cda.length % 16), 0)),
    { encKey: wrapped(octets(31, 1), "rsa-oaep") },
    { digest: octets(32, 3) },
    { signature: octets(256, 3) },
    { values: { "X-EEC-Receiver": "hospital-c" } },
  ];
  const told = new Set<string>();
  for (const forgery of forgeries) {
    const { headers, body } = forge2017(forgery);
    const [spool, book] = [memorySpool(), keyBook()];
    const opening = opening2017({ spool, reserve: book.reserve.bind(book) });
    const thrown = await open2017(headers, inPieces(body), opening).catch((each: unknown) => each);
    expect(thrown).toMatchObject(refusal);
    const { code, message, name } = thrown as typeof refusal;
    told.add(JSON.stringify({ code, message, name, spooled: spool.written.length, attempts: book.attempts.length }));
  }
  expect(told.size).toBe(1);
});

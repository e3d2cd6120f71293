import { describe, expect, test } from "vitest";
import { berReader } from "../../envelope/cms/ber-stream.ts";
import { nothing, tag, tlv } from "../../envelope/cms/der.ts";
import {
  type Content,
  digestPart,
  open,
  openCipher,
  readMessage,
  seal,
  sealDigested,
  sign,
} from "../../envelope/index.ts";
import { writeMessage } from "../../envelope/message.ts";
import { readParts } from "../../envelope/mime.ts";
import { sealPart } from "../../envelope/part.ts";
import { cbcLength, cbcOpened, cbcSeal } from "../../envelope/semrs2017-cbc.ts";
import { manifestContentType, verifySignedData } from "../../envelope/signed-data.ts";
import { multipart } from "./forge.ts";
import { opened2017 } from "./legacy.ts";
import { a, b, now, openingOf } from "./parties.ts";
import {
  bodyOf,
  cda,
  clearParts,
  collect,
  document,
  draftOf,
  inPieces,
  mebibyte,
  octets,
  record,
  sealed,
} from "./samples.ts";

const notOpened = (message: RegExp) =>
  expect.objectContaining({ code: "ENVELOPE_NOT_OPENED", message: expect.stringMatching(message) });

describe("a part", () => {
  test("is handed on in clear as it comes; its facts are known after its last octet, and not before", async () => {
    const clear = octets(mebibyte + 5);
    const { facts, cipher } = await sealed(clear, "segments");
    const attachment: Content = { role: "attachment", type: "image/png", facts, cipher: () => inPieces(cipher) };
    const envelope = await seal(draftOf([await document(cda), attachment]), a.signer, now);
    const opened = await open(envelope.headers, inPieces(await bodyOf(envelope)), openingOf(b));
    const parts: Buffer[] = [];
    for await (const part of opened.parts()) {
      expect(() => part.facts()).toThrow("only after its last octet");
      parts.push(await collect(part.clear()));
      expect(part.facts().size).toBe(parts.at(-1)?.length);
    }
    expect(parts.map((part, index) => part.equals(index === 0 ? cda : clear))).toEqual([true, true]);
    expect(opened.manifest.parts[1]).toMatchObject({ n: 5, role: "attachment", type: "image/png" });
  });

  test("empty chunks of its body change nothing", async () => {
    async function* body(): AsyncGenerator<Uint8Array> {
      for (const piece of [octets(0), octets(7), octets(0)]) yield piece;
    }
    const { cipher, facts } = sealPart(body(), "whole");
    expect(await collect(cipher)).toHaveLength(7);
    expect(facts()).toMatchObject({ size: 7 });
    expect(await digestPart(body(), "whole")).toMatchObject({ size: 7, sha256: facts().sha256 });
  });

  test("62 whose digests are not as many as its size demands is not begun", async () => {
    const { facts, cipher } = await sealed(octets(10), "segments");
    const other = { ...facts, segs: new Uint8Array(64) };
    await expect(collect(openCipher(inPieces(cipher), other))).rejects.toEqual(notOpened(/do not fit its size/));
  });

  test("that was digested before is encrypted once, and opens", async () => {
    await expect(digestPart(inPieces(octets(0)), "segments")).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
    const clear = octets(mebibyte + 9);
    const { facts, cipher } = sealDigested(await digestPart(inPieces(clear), "segments"), () => inPieces(clear));
    expect(() => facts.tag).toThrow("only after its last octet");
    const ciphertext = await collect(cipher());
    expect((await collect(openCipher(inPieces(ciphertext), facts))).equals(clear)).toBe(true);
    expect(() => cipher()).toThrow("sent once");
  });

  test("of semrs-2017 is decrypted from pieces smaller than a block", async () => {
    const [key, clear] = [octets(32, 1), octets(100, 3)];
    const ciphertext = cbcSeal(key, octets(16, 2), clear);
    const length = cbcLength(clear.length);
    const opened = await collect(cbcOpened(key, inPieces(ciphertext, 5), { length, count: 16 - (clear.length % 16) }));
    expect(opened.equals(clear)).toBe(true);
  });
});

describe("a message", () => {
  test("is one stream of headers and body, and is read back as it was", async () => {
    const { headers, body } = await seal(draftOf(await record(10)), a.signer, now);
    const octets = await collect(writeMessage(headers, body()));
    const message = await readMessage(inPieces(octets, 100));
    expect({ headers: message.headers, isStrict: message.isStrict }).toEqual({ headers, isStrict: true });
    const opened = await open(message.headers, message.body, openingOf(b));
    expect(await clearParts(opened)).toHaveLength(2);
  });

  test.each<[string, string, RegExp]>([
    ["8 headers of more than 64 KiB", `X: ${"x".repeat(70_000)}`, /within 65536/],
    ["a line without a colon", "MIME-Version\r\n\r\n", /a line that is no header/],
  ])("%s are refused", async (_, text, cause) => {
    const refusal = { code: "ENVELOPE_MALFORMED", message: expect.stringMatching(cause) };
    await expect(readMessage(inPieces(Buffer.from(text)))).rejects.toMatchObject(refusal);
  });

  const changed = (name: string, value: string) => async () => {
    const { headers, body } = await seal(draftOf(await record(10)), a.signer, now);
    const other = headers.map(([each, old]): [string, string] => [each, each === name ? value : old]);
    return await open(other, body(), openingOf(b));
  };
  test.each([
    ["20 semrs-3", changed("X-SEMRS-Profile", "semrs-3"), "ENVELOPE_UNSUPPORTED"],
    ["an id in upper case", changed("X-SEMRS-Id", "A".repeat(32)), "ENVELOPE_MALFORMED"],
    ["another version of MIME", changed("MIME-Version", "1.1"), "ENVELOPE_MALFORMED"],
  ])("%s is refused before any cryptography", async (_, make, code) => {
    await expect(make()).rejects.toMatchObject({ code });
  });

  test("21 an S/MIME message is none of semrs-2", async () => {
    const headers = [["Content-Type", "application/pkcs7-mime; smime-type=authEnveloped-data"]] as const;
    await expect(open([...headers], inPieces(octets(9)), openingOf(b))).rejects.toMatchObject({
      code: "ENVELOPE_UNSUPPORTED",
    });
  });

  test("10 a boundary that does not end its line, between parts and after the last", async () => {
    const body = multipart([octets(5)], "b");
    const all = async (changed: Buffer) => {
      for await (const part of readParts(inPieces(changed), "b", 10)) await collect(part);
    };
    const last = Buffer.concat([body.subarray(0, -2), Buffer.from("xx")]);
    await expect(all(last)).rejects.toThrow("the closing boundary does not end its line");
    const first = Buffer.concat([body.subarray(0, 3), Buffer.from("xx"), body.subarray(5)]);
    await expect(all(first)).rejects.toThrow("a boundary that does not end its line");
  });

  test("is signed for a repository without being sealed for anybody", async () => {
    const { manifest, signature } = await sign(draftOf(await record(10)), a.signer, now);
    expect(verifySignedData(signature, manifestContentType, manifest).signer).toEqual(a.signer.certificate);
  });

  test("9 something after the closing boundary, in a chunk of its own", async () => {
    async function* body(): AsyncGenerator<Uint8Array> {
      yield multipart([octets(5)], "b");
      yield octets(0);
      yield octets(1);
    }
    const all = async () => {
      for await (const part of readParts(body(), "b", 10)) await collect(part);
    };
    await expect(all()).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
  });

  test("20 of semrs-2 is none of semrs-2017, and nothing is decrypted", async () => {
    const envelope = await seal(draftOf(await record(10)), a.signer, now);
    const refusal = opened2017(envelope.headers, envelope.body());
    await expect(refusal).rejects.toMatchObject({ code: "ENVELOPE_UNSUPPORTED" });
  });
});

describe("BER from a stream", () => {
  const reader = (...octets: readonly Uint8Array[]) => berReader(inPieces(Buffer.concat(octets)));

  test("an element is no longer than what holds it", async () => {
    const inner = reader(Uint8Array.of(tag.sequence, 4, tag.octetString, 9, 1, 2));
    await inner.enter(tag.sequence, "outer");
    await expect(inner.whole(tag.octetString, 99, "inner")).rejects.toEqual(notOpened(/longer than what holds it/));
    const entered = reader(Uint8Array.of(tag.sequence, 4, tag.sequence, 9, 1, 2));
    await entered.enter(tag.sequence, "outer");
    await expect(entered.enter(tag.sequence, "inner")).rejects.toEqual(notOpened(/longer than what holds it/));
  });

  test("27 one that is over its limit is not read, nor is a tag number over 30", async () => {
    const ber = reader(tlv(tag.octetString, octets(60)));
    await expect(ber.whole(tag.octetString, 59, "x")).rejects.toEqual(notOpened(/x over 59 octets/));
    await expect(reader(Uint8Array.of(0x1f, 0)).next()).rejects.toEqual(notOpened(/a tag number over 30/));
  });

  test("a primitive has a length, and an end-of-contents its place", async () => {
    await expect(reader(Uint8Array.of(tag.octetString, 0x80)).next()).rejects.toEqual(notOpened(/indefinite length/));
    await expect(reader(Uint8Array.of(0, 0)).next()).rejects.toEqual(notOpened(/where none is due/));
  });

  test("26 nesting of 17", async () => {
    const ber = reader(Buffer.alloc(40, Uint8Array.of(tag.sequence, 0x80)));
    for (let depth = 0; depth < 16; depth += 1) await ber.enter(tag.sequence, "x");
    await expect(ber.enter(tag.sequence, "x")).rejects.toEqual(notOpened(/nested deeper than 16/));
  });

  test("the pieces of an element of indefinite length count together", async () => {
    const pieces = [tlv(tag.octetString, octets(60)), tlv(tag.octetString, octets(38))];
    const ber = reader(Uint8Array.of(tag.sequence, 0x80), ...pieces, Uint8Array.of(0, 0));
    await expect(ber.whole(tag.sequence, 100, "x")).rejects.toEqual(notOpened(/x over 100 octets/));
  });

  test("no element that is read whole is made of more than 10,000", async () => {
    const of = (count: number) =>
      reader(Uint8Array.of(tag.sequence, 0x80), Buffer.alloc(2 * count, nothing), Uint8Array.of(0, 0));
    expect(await of(9999).whole(tag.sequence, 1 << 20, "x")).toHaveLength(4 + 2 * 9999);
    await expect(of(10_000).whole(tag.sequence, 1 << 20, "x")).rejects.toEqual(
      notOpened(/x of more than 10000 elements/),
    );
  });

  test("an OCTET STRING does not come in thousands of pieces of an octet", async () => {
    const of = (...pieces: readonly Uint8Array[]) =>
      reader(Uint8Array.of(tag.octetString | 0x20, 0x80), ...pieces, Uint8Array.of(0, 0)).octets(tag.octetString, "x");
    const [one, many] = [tlv(tag.octetString, octets(1)), tlv(tag.octetString, octets(64 * 8193))];
    const small = Array<Uint8Array>(8192).fill(one);
    expect(await collect(of(...small))).toHaveLength(8192);
    expect(await collect(of(many, ...small))).toHaveLength(64 * 8193 + 8192);
    await expect(collect(of(...small, one))).rejects.toEqual(notOpened(/x in pieces of less than 64 octets/));
  });
});

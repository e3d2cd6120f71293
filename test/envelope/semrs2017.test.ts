import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Draft2017, type LegacySigner, type LegacyUnwrapper, open2017, seal2017 } from "../../envelope/index.ts";
import type { Signer, Unwrapper } from "../../envelope/keys.ts";
import { headerNames } from "../../envelope/manifest.ts";
import { forge2017 } from "./forge2017.ts";
import {
  bodyOf2017,
  by,
  clear2017,
  draft2017,
  from,
  hospitalA,
  hospitalB,
  instanceOf,
  keyBook,
  memorySpool,
  opened2017,
  opening2017,
  transports,
} from "./legacy.ts";
import { b } from "./parties.ts";
import { refusal } from "./refusals2017.ts";
import { cda, inPieces, mebibyte, octets, sha256 } from "./samples.ts";

const sizes = [1, 15, 16, 17, 31, 32, 33, 70_000, mebibyte, mebibyte + 4321];

describe("an envelope as the paper writes it", () => {
  describe.each(transports)("with its key under %s", (transport) => {
    const sealing = seal2017(draft2017(sizes, by(transport)), hospitalA.signer);
    test.each([17, 1777, 65_536, 64 * mebibyte])("gives all back octet for octet, in pieces of %i", async (step) => {
      const envelope = await sealing;
      const body = await bodyOf2017(envelope);
      expect(body).toHaveLength(envelope.contentLength);
      const opened = await opened2017(envelope.headers, inPieces(body, step), from(transport));
      const parts = await clear2017(opened);
      expect(parts).toHaveLength(1 + sizes.length);
      expect(cda.equals(parts[0] ?? octets(1))).toBe(true);
      for (const [index, size] of sizes.entries())
        expect(Buffer.from(parts[index + 1] ?? []).equals(octets(size, index + 2))).toBe(true);
    });
  });

  test("is read octet by octet, and without instances", async () => {
    for (const few of [[], [100, 1]]) {
      const envelope = await seal2017(draft2017(few), hospitalA.signer);
      const opened = await opened2017(envelope.headers, inPieces(await bodyOf2017(envelope), 1));
      expect(await clear2017(opened)).toEqual([cda, ...few.map((size, index) => octets(size, index + 2))]);
    }
  });

  test("is read through a mail gateway that made base64 of its parts", async () => {
    const { headers, body, parts } = forge2017({ images: [octets(5000, 2)] });
    const encoded = parts.reduce((text, part) => {
      const lines = part.toString("base64").replaceAll(/.{76}(?=.)/g, "$&\r\n");
      return text.replace(`binary\r\n\r\n${part.toString("latin1")}`, () => `base64\r\n\r\n${lines}`);
    }, body.toString("latin1"));
    const opened = await opened2017(headers, inPieces(Buffer.from(encoded, "latin1"), 500));
    expect(await clear2017(opened)).toEqual([cda, octets(5000, 2)]);
  });

  test("tells nothing of its contents in the clear", async () => {
    const envelope = await seal2017(draft2017([100]), hospitalA.signer);
    const clear = `${JSON.stringify(envelope.headers)}${(await bodyOf2017(envelope)).toString("latin1")}`;
    for (const secret of ["hospital-a", "hospital-b", "ClinicalDocument", "text/xml", "1.2.3.1"])
      expect(clear.includes(secret) ? secret : "").toBe("");
  });

  test("holds no image in memory and hands none on before the verdict", async () => {
    const spool = memorySpool();
    const image = octets(3 * mebibyte, 7);
    const envelope = await seal2017(draft2017([], { instances: [instanceOf(image)] }), hospitalA.signer);
    const opened = await opened2017(envelope.headers, envelope.body(), { spool });
    // What was spooled is ciphertext.
    expect(spool.written).toHaveLength(1);
    expect(spool.written[0]?.length).toBe(image.length + 32);
    expect(Buffer.from(spool.written[0] ?? []).includes(Buffer.from(image.subarray(0, 64)))).toBe(false);
    for (let time = 0; time < 2; time += 1) expect((await clear2017(opened))[1]).toEqual(Buffer.from(image));
  });

  test("an instance that comes back from the spool otherwise than it was written is STORE_DAMAGED", async () => {
    const { headers, body } = forge2017({ images: [octets(1000, 2)] });
    for (const change of [(bytes: Buffer) => bytes.subarray(16), (bytes: Buffer) => Buffer.concat([bytes, bytes])]) {
      const spool = memorySpool();
      const opened = await opened2017(headers, inPieces(body), {
        spool: {
          write: async (cipher) => {
            await spool.write(cipher);
            return { read: () => inPieces(change(Buffer.concat(spool.written))) };
          },
        },
      });
      await expect(clear2017(opened)).rejects.toMatchObject({ code: "STORE_DAMAGED" });
    }
  });
});

describe("sealing as the paper does", () => {
  test("gives the same octets each time the body is asked for, and others for another sealing", async () => {
    const [one, two] = await Promise.all([1, 2].map(() => seal2017(draft2017([5000]), hospitalA.signer)));
    if (!one || !two) throw new Error("two envelopes");
    const bodies = [await bodyOf2017(one), await bodyOf2017(one)];
    expect(bodies[0]?.equals(bodies[1] ?? Buffer.alloc(0))).toBe(true);
    expect((await bodyOf2017(two)).subarray(200).equals(bodies[0]?.subarray(200) ?? Buffer.alloc(0))).toBe(false);
    expect(two.headers.map(([, value]) => value)).not.toEqual(one.headers.map(([, value]) => value));
  });

  test("no IV is used twice under one key", async () => {
    const envelope = await seal2017(draft2017([10, 10, 10]), hospitalA.signer);
    const body = (await bodyOf2017(envelope)).toString("latin1");
    const ofParts = [...body.matchAll(/binary\r\n\r\n([\s\S]{16})/g)].map(([, iv = ""]) => iv);
    const ofHeaders = envelope.headers
      .slice(1, 10)
      .map(([, value]) => Buffer.from(value, "base64").toString("latin1", 0, 16));
    expect(new Set([...ofParts, ...ofHeaders]).size).toBe(7 + 9);
  });

  test.each<[string, Partial<Draft2017>]>([
    ["an empty document", { document: Buffer.alloc(0) }],
    ["a document over 64 MiB", { document: Buffer.alloc(64 * mebibyte + 1) }],
    ["an empty instance", { instances: [instanceOf(Buffer.alloc(0))] }],
    ["a command", { messageType: "query" }],
    ["a form that does not exist", { messageType: "122" }],
    ["no sender", { sender: "" }],
    ["two receivers", { to: { ...draft2017([]).to, org: "hospital-b,hospital-c" } }],
    ["too many instances", { instances: Array.from({ length: 25_000 }, () => instanceOf(octets(1))) }],
  ])("refuses %s", async (_, changes) => {
    await expect(seal2017(draft2017([], changes), hospitalA.signer)).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
  });

  test("refuses a receiver whose key is not RSA", async () => {
    const to = { ...draft2017([]).to, certificate: b.unwrapper.certificate };
    await expect(seal2017(draft2017([], { to }), hospitalA.signer)).rejects.toMatchObject({
      code: "CERTIFICATE_INVALID",
    });
  });

  test("an instance that the store cut short, or made longer, is not finished", async () => {
    for (const size of [999, 1001]) {
      const instances = [{ ...instanceOf(octets(size)), size: 1000 }];
      const envelope = await seal2017(draft2017([], { instances }), hospitalA.signer);
      await expect(bodyOf2017(envelope)).rejects.toMatchObject({ code: "STORE_DAMAGED" });
    }
  });

  test("takes no key of another profile: it would not compile", () => {
    // @ts-expect-error a semrs-2 signer
    const signer = (other: Signer): LegacySigner => other;
    // @ts-expect-error a semrs-2 unwrapper
    const unwrapper = (other: Unwrapper): LegacyUnwrapper => other;
    expect([signer, unwrapper]).toHaveLength(2);
  });
});

describe("one key, one attempt", () => {
  test("the key is reserved by its digest, with that of the envelope, after the last octet", async () => {
    const { headers, body, key } = forge2017();
    const events: string[] = [];
    async function* watched(): AsyncGenerator<Uint8Array> {
      yield* inPieces(body, 100);
      events.push("the last octet");
    }
    const unwrapper: LegacyUnwrapper = {
      ...hospitalB.unwrapper,
      unwrap: (...wrapped) => {
        events.push("unwrapped");
        return hospitalB.unwrapper.unwrap(...wrapped);
      },
    };
    const digest = createHash("sha256");
    const sealed = new Map(headers);
    for (const name of headerNames) digest.update(`${name.toLowerCase()}\0${sealed.get(name)}\0`);
    await opened2017(headers, watched(), {
      unwrapper,
      reserve: async (...reserved) => {
        events.push(...reserved);
        return "fresh";
      },
    });
    expect(events).toEqual(["the last octet", "unwrapped", sha256(key), digest.update(body).digest("hex")]);
  });

  test("nothing goes on when the reservation fails", async () => {
    const { headers, body } = forge2017();
    const reserve = async () => await Promise.reject(new Error("disk"));
    await expect(open2017(headers, inPieces(body), opening2017({ reserve }))).rejects.toThrow("disk");
  });

  test("94 a second attempt under one key is refused, whether the first one opened or not", async () => {
    const key = octets(32, 77);
    for (const first of [{ key }, { key, values: { "X-EEC-HeaderCnt": "8" } }]) {
      const book = keyBook();
      const attempts = [first, { key }, { key, images: [octets(1, 1)] }].map((forgery) => forge2017(forgery));
      const outcomes: unknown[] = [];
      for (const { headers, body } of attempts) {
        const attempt = open2017(headers, inPieces(body), opening2017({ reserve: (...each) => book.reserve(...each) }));
        outcomes.push(await attempt.then(({ outcome }) => outcome).catch(({ code, message }) => ({ code, message })));
      }
      const { code, message } = refusal;
      expect(outcomes).toEqual([
        "values" in first ? { code, message } : "opened",
        { code, message },
        { code, message },
      ]);
      expect(new Set(book.attempts)).toEqual(new Set([sha256(key)]));
    }
  });

  test("78 only the same octets again get the answer that was stored", async () => {
    const book = keyBook();
    const opening = () => opening2017({ reserve: (...each) => book.reserve(...each) });
    const { headers, body, key } = forge2017();
    await open2017(headers, inPieces(body), opening());
    await expect(open2017(headers, inPieces(body), opening())).rejects.toMatchObject(refusal);
    book.answered(sha256(key), "stored as 17");
    const repeated = { outcome: "repeated", answer: "stored as 17" };
    expect(await open2017(headers, inPieces(body, 1), opening())).toEqual(repeated);
    // Headers of HTTP may differ on the way; a header of the paper, or an octet of the body, may not.
    const shuffled = [["Via", "1.1 gateway"] as const, ...headers.toReversed()];
    expect(await open2017(shuffled, inPieces(body), opening())).toEqual(repeated);
    const other = forge2017({ key });
    await expect(open2017(other.headers, inPieces(body), opening())).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
    await expect(open2017(other.headers, inPieces(other.body), opening())).rejects.toMatchObject(refusal);
  });
});

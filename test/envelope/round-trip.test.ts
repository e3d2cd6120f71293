import { describe, expect, test } from "vitest";
import { contentDigest, contentOf, type Draft, open, readManifest, seal } from "../../envelope/index.ts";
import { a, b, c, ca, now, openingOf, ownerAmong, parties, party } from "./parties.ts";
import {
  bodyOf,
  cda,
  clearParts,
  collect,
  draftOf,
  inPieces,
  instance,
  mebibyte,
  message,
  octets,
  record,
  sealed,
} from "./samples.ts";

const sizes = [1, mebibyte, 2 * mebibyte + 4321, 3 * mebibyte];

async function roundTrip(draft: Draft, step: number) {
  const envelope = await seal(draft, a.signer, now);
  const body = await bodyOf(envelope);
  expect(body).toHaveLength(envelope.contentLength);
  return { envelope, opened: await open(envelope.headers, inPieces(body, step), openingOf(b)) };
}

describe("an envelope that is opened by its receiver", () => {
  test.each([1777, 65_536, mebibyte, 64 * mebibyte])(
    "gives every part back octet for octet, in pieces of %i",
    async (step) => {
      const { opened } = await roundTrip(draftOf(await record(...sizes)), step);
      const parts = await clearParts(opened);
      expect(parts).toHaveLength(5);
      expect(cda.equals(parts[0] ?? octets(1))).toBe(true);
      for (const [index, size] of sizes.entries())
        expect(Buffer.from(parts[index + 1] ?? []).equals(octets(size, index + 2))).toBe(true);
    },
  );

  test("leaves in one piece where all of it is at hand", async () => {
    const content = [await contentOf(Buffer.from("{}"), "command", "application/json")];
    const envelope = await seal({ ...draftOf(content), messageType: "query" }, a.signer, now);
    const pieces = await Array.fromAsync(envelope.body());
    expect(pieces.map(({ length }) => length)).toEqual([envelope.contentLength]);
    const opened = await open(envelope.headers, inPieces(pieces[0] ?? octets(1), 1), openingOf(b));
    expect(await clearParts(opened)).toEqual([Buffer.from("{}")]);
  });

  test("is read octet by octet", async () => {
    const { opened } = await roundTrip(draftOf(await record(200, 1)), 1);
    expect(await clearParts(opened)).toEqual([cda, octets(200, 2), octets(1, 3)]);
  });

  test("says who sent it, under which id, and what its manifest is", async () => {
    const { envelope, opened } = await roundTrip(draftOf(await record(10)), 4096);
    expect(opened).toMatchObject({ org: "hospital-a", origin: null, manifestSha256: envelope.manifestSha256 });
    expect(Buffer.from(opened.manifestBytes).equals(envelope.manifest)).toBe(true);
    expect(Buffer.from(opened.signature).equals(envelope.signature)).toBe(true);
    expect(opened.manifest).toMatchObject({
      id: envelope.id,
      message,
      created: "2026-05-04T12:00:00Z",
      expires: "2026-05-05T12:00:00Z",
      headers: {
        "X-EEC-Sender": "hospital-a",
        "X-EEC-Receiver": "hospital-b",
        "X-EEC-AsymmetricAlg": "ecdh-p256-aes256-wrap",
        "X-EEC-SignAlg": "ecdsa-p256-sha256",
        "X-EEC-BodypartCnt": "5",
        "X-EEC-HeaderCnt": "9",
        "X-EEC-MessageType": "116",
      },
    });
  });

  test("hands its ciphertext and facts on, so that a store keeps them as they are", async () => {
    const content = await record(mebibyte + 5);
    const { opened } = await roundTrip(draftOf(content), 65_536);
    const kept: boolean[] = [];
    let index = 0;
    for await (const part of opened.parts()) {
      // A piece is the reader's until the next one: memory is used again.
      const cipher = Buffer.concat(await Array.fromAsync(part.cipher, (piece) => Buffer.from(piece)));
      const original = content[index++];
      if (original)
        kept.push(
          cipher.equals(await collect(original.cipher())),
          Buffer.from(part.facts().cek).equals(original.facts.cek),
        );
      expect(part.facts()).toMatchObject({
        size: original?.facts.size,
        sha256: original?.facts.sha256,
        root: original?.facts.root,
      });
    }
    expect(kept).toEqual([true, true, true, true]);
  });

  test("tells nothing of its contents in the clear", async () => {
    // Long, so that no random octets hold it by chance.
    const messageType = "form-of-its-own";
    const { envelope } = await roundTrip(draftOf(await record(100), { messageType }), 65_536);
    const clear = `${JSON.stringify(envelope.headers)}${(await bodyOf(envelope)).toString("latin1")}`;
    for (const secret of ["hospital-a", "hospital-b", "ClinicalDocument", messageType, "text/xml", "1.2.3.1", message])
      expect(clear.includes(secret) ? secret : "").toBe("");
  });

  test("is opened by each of several receivers, in whatever order they are named", async () => {
    const d = party("hospital-d", ca, "rsa", "rsa");
    const known = ownerAmong([...parties, d]);
    for (const order of [
      [b, c, d],
      [d, c, b],
      [c, d, b],
    ]) {
      const to = order.map(({ org, unwrapper }) => ({ org, certificate: unwrapper.certificate }));
      const envelope = await seal(draftOf(await record(10), { to }), a.signer, now);
      const body = await bodyOf(envelope);
      for (const receiver of order) {
        const opened = await open(envelope.headers, inPieces(body), openingOf(receiver, { partner: known }));
        expect(await clearParts(opened)).toEqual([cda, octets(10, 2)]);
      }
    }
  });

  test.each(["ec", "rsa", "ed25519"] as const)("is signed with %s", async (kind) => {
    const d = party("hospital-d", ca, kind, "rsa");
    const envelope = await seal(draftOf(await record(10), { sender: d.org }), d.signer, now);
    const opened = await open(
      envelope.headers,
      inPieces(await bodyOf(envelope)),
      openingOf(b, { partner: ownerAmong([d]) }),
    );
    expect(await clearParts(opened)).toHaveLength(2);
    expect(opened.org).toBe("hospital-d");
  });

  test("carries a command alone, and its answer names the request", async () => {
    const command = Buffer.from('{"command":"query"}');
    const content = [await contentOf(command, "command", "application/json")];
    const request = await seal(draftOf(content, { purpose: "query", messageType: "query" }), a.signer, now);
    const answer = await seal(
      draftOf([await contentOf(Buffer.from("[]"), "command", "application/json")], {
        purpose: "response",
        sender: b.org,
        to: [{ org: a.org, certificate: a.unwrapper.certificate }],
        inReplyTo: request.id,
        requestDigest: request.manifestSha256,
      }),
      b.signer,
      now,
    );
    const reply = { inReplyTo: request.id, requestDigest: request.manifestSha256, from: b.org };
    const opened = await open(
      answer.headers,
      inPieces(await bodyOf(answer)),
      openingOf(a, { purposes: ["response"], reply, peer: b.org }),
    );
    expect(await clearParts(opened)).toEqual([Buffer.from("[]")]);
  });

  test("is read through a mail gateway that made base64 of its parts", async () => {
    const envelope = await seal(draftOf(await record(100_000)), a.signer, now);
    const body = inBase64(await bodyOf(envelope));
    for (const step of [1000, 65_536]) {
      const opened = await open(envelope.headers, inPieces(body, step), openingOf(b));
      expect(await clearParts(opened)).toEqual([cda, octets(100_000, 2)]);
    }
  });
});

describe("sealing", () => {
  test("reads no ciphertext until the body is asked for", async () => {
    const [first, image] = await record(100);
    let isRead = false;
    const cipher = () => {
      isRead = true;
      return image?.cipher() ?? inPieces(octets(0));
    };
    const content = [first, image && { ...image, cipher }].filter((part) => part !== undefined);
    const envelope = await seal(draftOf(content), a.signer, now);
    expect(envelope.contentLength).toBeGreaterThan(0);
    expect(isRead).toBe(false);
    await bodyOf(envelope);
    expect(isRead).toBe(true);
  });

  test("draws another id and key for the same record, and its content digest stays the same", async () => {
    const content = await record(100, mebibyte);
    const [one, two] = [await seal(draftOf(content), a.signer, now), await seal(draftOf(content), a.signer, now)];
    expect(one.id).not.toBe(two.id);
    expect(one.id.slice(0, 12)).toBe(now.getTime().toString(16).padStart(12, "0"));
    expect(contentDigest(readManifest(one.manifest))).toBe(contentDigest(readManifest(two.manifest)));
    const other = await seal(draftOf(await record(100, mebibyte + 1)), a.signer, now);
    expect(contentDigest(readManifest(other.manifest))).not.toBe(contentDigest(readManifest(one.manifest)));
  });

  test("refuses what no reader would take", async () => {
    const content = await record(10);
    const [first, image] = content;
    if (!first || !image) throw new Error("a record has two parts");
    const { sop: _, ...nameless } = image;
    const wrong: readonly Draft[] = [
      draftOf([]),
      draftOf([image]),
      draftOf([first, first]),
      draftOf([first, nameless]),
      draftOf([{ ...first, facts: (await sealed(octets(10), "segments")).facts }]),
      draftOf(content, { to: [] }),
      draftOf(content, { message: "no id" }),
      draftOf(content, { sender: "a,b" }),
      draftOf(content, { messageType: "x".repeat(5000) }),
    ];
    for (const draft of wrong)
      await expect(seal(draft, a.signer, now)).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
    for (const lifetimeMs of [0, -1, 8 * 24 * 3600 * 1000, Number.NaN]) {
      await expect(seal(draftOf(content), a.signer, now, lifetimeMs)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    }
  });

  test("a part that the store cut short is not finished", async () => {
    const image = await instance(octets(1000), "1.2.3");
    const content = [...(await record()), { ...image, cipher: () => inPieces(octets(999)) }];
    await expect(bodyOf(await seal(draftOf(content), a.signer, now))).rejects.toMatchObject({ code: "STORE_DAMAGED" });
  });
});

/** What a gateway makes of binary parts: lines of 76 characters. */
function inBase64(body: Buffer): Buffer {
  const text = body.toString("latin1");
  const boundary = text.slice(0, text.indexOf("\r\n"));
  const parts = text.split(`${boundary}\r\n`).slice(1);
  const encoded = parts.map((part, index) => {
    const end = index === parts.length - 1 ? part.lastIndexOf(`\r\n${boundary}--`) : part.length - 2;
    const start = part.indexOf("\r\n\r\n") + 4;
    const lines = Buffer.from(part.slice(start, end), "latin1")
      .toString("base64")
      .replaceAll(/.{76}(?=.)/g, "$&\r\n");
    return `${boundary}\r\n${part.slice(0, start).replace("binary", "base64")}${lines}\r\n`;
  });
  return Buffer.from(`${encoded.join("")}${boundary}--\r\n`, "latin1");
}

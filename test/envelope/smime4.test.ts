/** smime-4: what goes round, and how it waits. What is refused is in smime4-refusals.test.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { oids } from "../../envelope/algorithms.ts";
import { readCertificate } from "../../envelope/certificate.ts";
import { children, context, integer, octetString, oid, read, sequence, tag, tlv } from "../../envelope/cms/der.ts";
import {
  contentDigest,
  contentOf,
  type Draft,
  openSmime4,
  readMessage,
  type Smime4Opening,
  sealSmime4,
} from "../../envelope/index.ts";
import { base64Length, fromBase64, toBase64 } from "../../envelope/smime4-base64.ts";
import { codeOf } from "../../errors.ts";
import { a, b, c, ca, now, type Party, parties, party } from "./parties.ts";
import {
  bodyOf,
  cda,
  clearParts,
  collect,
  draftOf,
  flipped,
  inPieces,
  instance,
  mebibyte,
  octets,
  record,
  sha256,
} from "./samples.ts";
import {
  envelopedFor,
  forge,
  honestEntity,
  innerOf,
  memorySpool,
  openAll,
  signedOver,
  smime4Opening,
} from "./smime4-forge.ts";

const sizes = [1, mebibyte, 2 * mebibyte + 4321];
const r = party("hospital-r", ca, "rsa", "rsa");

async function roundTrip(draft: Draft, step: number, signer: Party = a, receiver: Party = b) {
  const envelope = await sealSmime4(draft, signer.signer, now);
  const body = await bodyOf(envelope);
  expect(body).toHaveLength(envelope.contentLength);
  const opening = smime4Opening(receiver, {}, [...parties, signer]);
  return { envelope, body, opened: await openSmime4(envelope.headers, inPieces(body, step), opening) };
}

const to = ({ org, unwrapper }: Party): Draft["to"][number] => ({ org, certificate: unwrapper.certificate });

describe("an S/MIME message that is opened by its receiver", () => {
  test.each([997, 65_536, 64 * mebibyte])("gives every part back octet for octet, in pieces of %i", async (step) => {
    const { opened } = await roundTrip(draftOf(await record(...sizes)), step);
    const parts = await clearParts(opened);
    expect(parts).toHaveLength(4);
    expect(cda.equals(parts[0] ?? octets(1))).toBe(true);
    for (const [index, size] of sizes.entries())
      expect(Buffer.from(parts[index + 1] ?? []).equals(octets(size, index + 2))).toBe(true);
  });

  test("is read octet by octet", async () => {
    const { opened } = await roundTrip(draftOf(await record(200, 1)), 1);
    expect(await clearParts(opened)).toEqual([cda, octets(200, 2), octets(1, 3)]);
  });

  test("says who sent it, for whom, and what is in it, before a part is read", async () => {
    const content = await record(10, mebibyte + 1);
    const { envelope, opened } = await roundTrip(draftOf(content), 4096);
    expect(opened).toMatchObject({ org: "hospital-a", origin: null, manifestSha256: envelope.manifestSha256 });
    expect(Buffer.from(opened.manifestBytes).equals(envelope.manifest)).toBe(true);
    expect(Buffer.from(opened.signature).equals(envelope.signature)).toBe(true);
    expect(opened.manifest).toMatchObject({
      profile: "smime-4",
      id: envelope.id,
      created: "2026-05-04T12:00:00Z",
      expires: "2026-05-05T12:00:00Z",
      sender: { org: "hospital-a" },
      to: [{ org: "hospital-b", cert: sha256(b.unwrapper.certificate) }],
      inReplyTo: null,
      headers: { "X-EEC-SignAlg": "ecdsa-p256-sha256", "X-EEC-BodypartCnt": "3" },
    });
    expect(opened.manifest.parts).toMatchObject([
      { n: 1, role: "cda", sha256: sha256(cda) },
      { n: 5, role: "dicom", sop: "1.2.3.1", root: content[1]?.facts.root },
      { n: 6, role: "dicom", sop: "1.2.3.2", root: content[2]?.facts.root },
    ]);
    expect(contentDigest(opened.manifest)).toMatch(/^[0-9a-f]{64}$/);
  });

  test("hands its parts on as ciphertext under keys of their own", async () => {
    const content = await record(mebibyte + 5);
    const { opened } = await roundTrip(draftOf(content), 65_536);
    let index = 0;
    for await (const part of opened.parts()) {
      for await (const _ of part.cipher);
      const { sha256, root } = content[index]?.facts ?? { sha256: "", root: "" };
      expect(part.facts()).toMatchObject({ sha256, root });
      expect(Buffer.from(part.facts().cek).equals(content[index]?.facts.cek ?? octets(1))).toBe(false);
      index += 1;
    }
  });

  test("is opened by each of several receivers", async () => {
    const receivers = [r, b, c];
    const envelope = await sealSmime4(draftOf(await record(10), { to: receivers.map(to) }), a.signer, now);
    const body = await bodyOf(envelope);
    for (const receiver of receivers) {
      const opened = await openSmime4(envelope.headers, inPieces(body), smime4Opening(receiver));
      expect(await clearParts(opened)).toEqual([cda, octets(10, 2)]);
      expect(opened.manifest.headers["X-EEC-AsymmetricAlg"]).toBe("rsaes-oaep-sha256,ecdh-p256-aes256-wrap");
    }
  });

  test.each(["ec", "rsa", "ed25519"] as const)(
    "is signed with %s, for a receiver with RSA and with P-256",
    async (kind) => {
      const signer = party("hospital-d", ca, kind);
      for (const receiver of [r, b]) {
        const draft = draftOf(await record(10), { sender: signer.org, to: [to(receiver)] });
        const { opened } = await roundTrip(draft, 500, signer, receiver);
        expect(await clearParts(opened)).toHaveLength(2);
        expect(opened.org).toBe("hospital-d");
      }
    },
  );

  test("carries a command alone, and its answer names the request", async () => {
    const draft = draftOf([await contentOf(Buffer.from("{}"), "command", "application/json")], { purpose: "query" });
    const request = await sealSmime4(draft, a.signer, now);
    const names = { inReplyTo: request.id, requestDigest: request.manifestSha256 };
    const answer = await sealSmime4(
      { ...draft, purpose: "response", sender: b.org, to: [to(a)], ...names },
      b.signer,
      now,
    );
    const changes: Partial<Smime4Opening> = { purposes: ["response"], reply: { ...names, from: b.org }, peer: b.org };
    const opened = await openSmime4(answer.headers, inPieces(await bodyOf(answer)), smime4Opening(a, changes));
    expect(opened.manifest).toMatchObject({ ...names, parts: [{ role: "command", type: "application/json" }] });
    const other = smime4Opening(a, { ...changes, reply: { ...names, inReplyTo: "0".repeat(32), from: b.org } });
    await expect(openSmime4(answer.headers, inPieces(await bodyOf(answer)), other)).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
    });
  });

  test("is read in DER, and as a file with headers and base64 in lines of either kind", async () => {
    const message = await forge({});
    expect(await openAll(message)).toBe(2);
    const type =
      "Content-Type: application/pkcs7-mime;\n smime-type=authEnveloped-data\nContent-Transfer-Encoding: base64\n\n";
    const text = `${type}${Buffer.from(message.body).toString("base64").replaceAll(/.{64}/g, "$&\n")}\n\n`;
    for (const file of [text, text.replaceAll("\n", "\r\n")]) {
      for (const step of [1, 1000, 100_000]) {
        const { headers, body } = await readMessage(inPieces(Buffer.from(file), step));
        expect((await openSmime4(headers, body, smime4Opening())).org).toBe("hospital-a");
      }
    }
  });

  test("may have parts in base64 and headers that mail programs add", async () => {
    const entity = await honestEntity(draftOf(await record(100)), a.signer);
    const at = entity.lastIndexOf("Content-Transfer-Encoding");
    const start = entity.indexOf("\r\n\r\n", at) + 4;
    const end = entity.lastIndexOf("\r\n--");
    const changed = Buffer.concat([
      entity.subarray(0, at),
      Buffer.from('Content-Disposition: attachment; filename="1.dcm"\r\nX-SEMRS-Sop: 1.2.3\r\n'),
      Buffer.from("Content-Transfer-Encoding: base64\r\n\r\n"),
      Buffer.from(entity.subarray(start, end).toString("base64").replaceAll(/.{76}/g, "$&\r\n")),
      entity.subarray(end),
    ]);
    const body = await envelopedFor(Buffer.from(innerOf(await signedOver(changed, a.signer))));
    const opened = await openSmime4([...(await forge({})).headers], inPieces(body, 77), smime4Opening());
    expect(await clearParts(opened)).toEqual([cda, octets(100, 2)]);
  });
});

describe("what other tools write", () => {
  const pieces = (octets: Uint8Array, step: number): Uint8Array[] =>
    Array.from({ length: Math.ceil(octets.length / step) }, (_, n) => octets.subarray(n * step, (n + 1) * step));
  /** Bouncy Castle streams: OCTET STRINGs in pieces of any size, sets of indefinite length. */
  const inSegments = (step: number) => (fields: { readonly encrypted: Uint8Array }) => ({
    encrypted: tlv(context(0), ...pieces(read(fields.encrypted).content, step).map(octetString)),
  });
  const endless = (tagOctet: number, ...contents: readonly Uint8Array[]): Buffer =>
    Buffer.concat([Uint8Array.of(tagOctet, 0x80), ...contents, Uint8Array.of(0, 0)]);
  const again = (octets: Uint8Array): Buffer => endless(octets[0] ?? 0, read(octets).content);

  test("segments of any size, and sets of indefinite length, are read", async () => {
    const signed = (der: Uint8Array): Uint8Array => {
      const [type, wrapper] = children(read(der));
      const [data] = wrapper ? children(wrapper) : [];
      const [version, digests, content, certificates, signers] = data ? children(data).map(({ raw }) => raw) : [];
      if (!type || !version || !digests || !content || !certificates || !signers) throw new Error("no SignedData");
      const fields = [version, again(digests), again(content), again(certificates), again(signers)];
      return endless(tag.sequence, type.raw, endless(context(0), endless(tag.sequence, ...fields)));
    };
    for (const step of [1, 1000, 100_000])
      expect(await openAll(await forge({ enveloped: inSegments(step), signed }))).toBe(2);
  });

  test("an ephemeral key that names its curve, and a recipient by issuer and serial number, are read", async () => {
    const { issuer, serial } = readCertificate(b.unwrapper.certificate);
    const rid = sequence(issuer, integer(Buffer.from(serial, "hex")));
    const recipients = ([info = octets(1)]: readonly Uint8Array[]) => {
      const [version, originator, algorithm, keys] = children(read(info));
      const [key] = originator ? children(originator) : [];
      const [, point] = key ? children(key) : [];
      const [encrypted] = keys ? children(keys) : [];
      const [, wrapped] = encrypted ? children(encrypted) : [];
      if (!version || !point || !algorithm || !wrapped) throw new Error("no KARI");
      const named = sequence(oid(oids.ecPublicKey), oid(oids.prime256v1));
      const from = tlv(context(0), tlv(context(1), named, point.raw));
      return [tlv(context(1), version.raw, from, algorithm.raw, sequence(sequence(rid, wrapped.raw)))];
    };
    expect(await openAll(await forge({ recipients }))).toBe(2);
  });

  test("base64 is what it was, in lines of any length up to 76 and pieces of any size", async () => {
    const property = fc.asyncProperty(
      fc.uint8Array({ maxLength: 500 }),
      fc.integer({ min: 1, max: 76 }),
      fc.integer({ min: 1, max: 99 }),
      fc.constantFrom("\n", "\r\n"),
      async (bytes, line, step, end) => {
        const text = Buffer.from(bytes)
          .toString("base64")
          .replaceAll(new RegExp(`.{${line}}`, "g"), `$&${end}`);
        expect((await collect(fromBase64(inPieces(Buffer.from(text), step)))).equals(bytes)).toBe(true);
        const ours = await collect(toBase64(inPieces(bytes, step)));
        expect(ours).toHaveLength(base64Length(bytes.length));
        expect((await collect(fromBase64(inPieces(ours, step)))).equals(bytes)).toBe(true);
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });
});

describe("while it waits for its proof", () => {
  test("lies in the spool as ciphertext under another key than on the wire", async () => {
    const envelope = await sealSmime4(draftOf(await record(5000)), a.signer, now);
    const body = await bodyOf(envelope);
    const spool = memorySpool();
    const opened = await openSmime4(envelope.headers, inPieces(body), smime4Opening(b, { spool }));
    const kept = Buffer.concat(spool.pieces);
    for (const secret of ["ClinicalDocument", "hospital-a", "pkcs7-mime", cda.toString("base64").slice(0, 40)])
      expect(kept.includes(secret)).toBe(false);
    expect(body.includes(kept.subarray(100, 200))).toBe(false);
    expect(await clearParts(opened)).toHaveLength(2);
  });

  test("is not looked at when its tag does not hold, whatever was changed", async () => {
    const { headers, body } = await forge({});
    for (const at of [body.length - 3, body.length - 600, body.length - 2000]) {
      const spool = memorySpool();
      const refusal = openSmime4(headers, inPieces(flipped(body, at)), smime4Opening(b, { spool }));
      await expect(refusal).rejects.toMatchObject({
        code: "ENVELOPE_NOT_OPENED",
        message: "CMS: its tag does not hold",
      });
      expect(spool.reads()).toBe(0);
    }
  });

  test("is read to its end before anything is said of what is inside", async () => {
    const { headers, body } = await forge({ inner: () => "nonsense" });
    let sent = 0;
    async function* counted() {
      for await (const piece of inPieces(body, 10)) {
        sent += piece.length;
        yield piece;
      }
    }
    await expect(openSmime4(headers, counted(), smime4Opening())).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
    });
    expect(sent).toBe(body.length);
  });

  test("a spool that gives back other octets is a damaged store", async () => {
    const { headers, body } = await forge({});
    const spool = memorySpool();
    const opened = await openSmime4(headers, inPieces(body), smime4Opening(b, { spool }));
    spool.pieces[0] = flipped(spool.pieces[0] ?? octets(1), 5);
    expect(await clearParts(opened).catch(codeOf)).toBe("STORE_DAMAGED");
    spool.pieces.length = 1;
    expect(await clearParts(opened).catch(codeOf)).toBe("STORE_DAMAGED");
  });

  test("a spool that fails says so itself", async () => {
    const { headers, body } = await forge({});
    const spool = {
      write: async (cipher: AsyncIterable<Uint8Array>) => {
        await collect(cipher);
        return {
          read: async function* (): AsyncGenerator<Uint8Array> {
            yield octets(1);
            throw new Error("EIO");
          },
        };
      },
    };
    await expect(openSmime4(headers, inPieces(body), smime4Opening(b, { spool }))).rejects.toThrow("EIO");
  });

  test("a message over twice the limit and a mebibyte is not read on", async () => {
    const { headers, body } = await forge({ sizes: [3 * mebibyte] });
    const opening = smime4Opening(b, { maxBytes: 1000 });
    const refusal = { code: "TOO_LARGE", message: "the message is over 1050576 octets" };
    await expect(openSmime4(headers, inPieces(body, 5 * mebibyte), opening)).rejects.toMatchObject(refusal);
  });

  test("a part is handed on in clear too, and as octets only within the caller's limit", async () => {
    const { headers, body } = await forge({ sizes: [500] });
    const opened = await openSmime4(headers, inPieces(body), smime4Opening());
    const clear: Uint8Array[] = [];
    for await (const part of opened.parts()) clear.push(await collect(part.clear()));
    expect(clear.map(({ length }) => length)).toEqual([cda.length, 500]);
    const first = await opened.parts().next();
    if (first.done === true) throw new Error("a message has a part 1");
    await expect(first.value.bytes(10)).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  test("the spool is closed by a caller who stops in the middle", async () => {
    const { headers, body } = await forge({ sizes: [10, 10, 3 * mebibyte] });
    const inner = memorySpool();
    let isOpen = 0;
    const spool = {
      write: async (cipher: AsyncIterable<Uint8Array>) => {
        const written = await inner.write(cipher);
        return {
          read: async function* () {
            isOpen += 1;
            try {
              yield* written.read();
            } finally {
              isOpen -= 1;
            }
          },
        };
      },
    };
    const opened = await openSmime4(headers, inPieces(body), smime4Opening(b, { spool }));
    expect(isOpen).toBe(0);
    for await (const part of opened.parts()) {
      await part.bytes(mebibyte);
      break;
    }
    expect(isOpen).toBe(0);
  });
});

describe("sealing as S/MIME", () => {
  test("draws another key for every body", async () => {
    const envelope = await sealSmime4(draftOf(await record(10)), a.signer, now);
    const [one, two] = [await bodyOf(envelope), await bodyOf(envelope)];
    expect(one.length).toBe(two.length);
    expect(one.subarray(-500).equals(two.subarray(-500))).toBe(false);
    for (const body of [one, two]) expect(await openAll({ headers: envelope.headers, body })).toBe(2);
  });

  test("tells nothing of its contents in the clear", async () => {
    const { envelope, body } = await roundTrip(draftOf(await record(100)), 65_536);
    const clear = `${JSON.stringify(envelope.headers)}${body.toString("latin1")}`;
    for (const secret of ["hospital-a", "ClinicalDocument", "text/xml", "1.2.3.1", "X-EEC", envelope.id])
      expect(clear.includes(secret) ? secret : "").toBe("");
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
      draftOf([{ ...first, type: "application/json" }]),
      draftOf([{ ...first, type: "text/xml\r\nX: y" }]),
      draftOf([first, { ...image, type: "multipart/mixed" }]),
      draftOf(content, { to: [] }),
      draftOf(content, { message: "no id" }),
      draftOf(content, { sender: "a,b" }),
      draftOf(content, { sender: "Spital Zürich" }),
      draftOf(content, { messageType: "116\r\nX-EEC-Sender: c" }),
    ];
    for (const draft of wrong)
      expect(await sealSmime4(draft, a.signer, now).then(() => JSON.stringify(draft), codeOf)).toBe(
        "ENVELOPE_MALFORMED",
      );
    const origin = { manifest: octets(1), signature: octets(1), marks: [] };
    const other = sealSmime4(draftOf(content, { origin }), a.signer, now);
    await expect(other).rejects.toMatchObject({ code: "ENVELOPE_UNSUPPORTED" });
    await expect(sealSmime4(draftOf(content), a.signer, now, 0)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("refuses a record over the limit before any of it is sent, and the reader the same", async () => {
    const draft = draftOf(await record(mebibyte));
    await expect(sealSmime4(draft, a.signer, now, undefined, mebibyte)).rejects.toMatchObject({ code: "TOO_LARGE" });
    const envelope = await sealSmime4(draft, a.signer, now);
    const body = await bodyOf(envelope);
    const opening = (maxBytes: number) => smime4Opening(b, { maxBytes });
    for (const maxBytes of [1000, mebibyte])
      await expect(openSmime4(envelope.headers, inPieces(body), opening(maxBytes))).rejects.toMatchObject({
        code: "TOO_LARGE",
      });
    const tooMuch = draftOf([...(await record()), await instance(octets(10), "1.2")]);
    const exact = await sealSmime4(tooMuch, a.signer, now);
    const held = exact.contentLength;
    await expect(sealSmime4(tooMuch, a.signer, now, undefined, held)).resolves.toBeDefined();
  });

  test("a part that the store cut short or changed is not sent", async () => {
    const image = await instance(octets(1000), "1.2.3");
    for (const cipher of [octets(999), octets(1001), octets(1000)]) {
      const content = [...(await record()), { ...image, cipher: () => inPieces(cipher) }];
      expect(await sealSmime4(draftOf(content), a.signer, now).then(() => "sealed", codeOf)).toBe(
        "ENVELOPE_NOT_OPENED",
      );
    }
  });
});

/** smime-4: what goes round. How it is sealed and waits is in smime4-sealing.test.ts and smime4-waiting.test.ts, what is refused in smime4-refusals*.test.ts. */
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
import { a, b, c, ca, now, type Party, parties, party } from "./parties.ts";
import { bodyOf, cda, clearParts, collect, draftOf, inPieces, mebibyte, octets, record, sha256 } from "./samples.ts";
import { envelopedFor, forge, honestEntity, innerOf, openAll, signedOver, smime4Opening } from "./smime4-forge.ts";

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

  test.each([
    ["without any end", 2_000, "A".repeat(2_000)],
    ["in pieces that are shorter", 10, "A".repeat(100)],
    ["that ends", 2_000, `${"A".repeat(80)}\r\n`],
  ])("a line over 76 characters, %s, is refused", async (_what, step, text) => {
    await expect(collect(fromBase64(inPieces(Buffer.from(text), step)))).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
  });

  test("a line that does not end is refused when it is too long, and not at the end of all", async () => {
    let taken = 0;
    const endless = (async function* () {
      for (; taken < 1_000; taken += 1) yield Buffer.from("A".repeat(10));
    })();
    await expect(collect(fromBase64(endless))).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
    expect(taken).toBeLessThan(10);
  });
});

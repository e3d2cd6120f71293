/** Re-addressing (paper step 7): the author's record under a new key for somebody else, its ciphertext copied unread. */
import { beforeAll, describe, expect, test } from "vitest";
import {
  type Content,
  contentDigest,
  type Draft,
  type Opening,
  type Origin,
  open,
  readManifest,
  seal,
} from "../../envelope/index.ts";
import type { Manifest } from "../../envelope/manifest.ts";
import { openOrigin } from "../../envelope/origin.ts";
import { manifestContentType, signDetached } from "../../envelope/signed-data.ts";
import { forge } from "./forge.ts";
import { a, b, c, dayMs, later, now, openingOf, ownerAmong, parties, registry, trust } from "./parties.ts";
import { bodyOf, cda, clearParts, document, draftOf, inPieces, instance, mebibyte, octets, record } from "./samples.ts";

let content: readonly Content[];
/** What hospital A sealed for its own repository, some days ago. */
let origin: Origin;
let authorsSha256: string;
const provided = later(-3 * dayMs);

beforeAll(async () => {
  content = await record(mebibyte + 10, 2 * mebibyte);
  const draft = draftOf(content, { purpose: "provide", to: [{ org: a.org, certificate: a.unwrapper.certificate }] });
  const { manifest, signature, manifestSha256 } = await seal(draft, a.signer, provided);
  origin = { manifest, signature, marks: [] };
  authorsSha256 = manifestSha256;
});

const answerTo = (changes: Partial<Draft> = {}): Draft => draftOf(content, { purpose: "response", origin, ...changes });
const opening = (changes: Partial<Opening> = {}): Opening => openingOf(b, { purposes: ["response"], ...changes });

async function readdressed(draft: Draft, changes?: Partial<Opening>) {
  const envelope = await seal(draft, a.signer, now);
  return await open(envelope.headers, inPieces(await bodyOf(envelope)), opening(changes));
}

describe("a record that is sealed anew for another house", () => {
  test("arrives octet for octet, with its author's manifest and signature", async () => {
    const opened = await readdressed(answerTo());
    expect(opened.origin).toMatchObject({ org: a.org, manifestSha256: authorsSha256, markedAt: null });
    expect(Buffer.from(opened.origin?.manifestBytes ?? []).equals(origin.manifest)).toBe(true);
    expect(Buffer.from(opened.origin?.signature ?? []).equals(origin.signature)).toBe(true);
    const [first, ...images] = await clearParts(opened);
    expect(cda.equals(first ?? octets(1))).toBe(true);
    expect(
      images.map((image, n) => Buffer.from(image).equals(octets(n === 0 ? mebibyte + 10 : 2 * mebibyte, n + 2))),
    ).toEqual([true, true]);
  });

  test("describes each part as its author did", async () => {
    const entries = [];
    for await (const part of (await readdressed(answerTo())).parts()) {
      entries.push(part.entry);
      await part.bytes(4 * mebibyte);
    }
    expect(entries).toEqual(readManifest(origin.manifest).parts);
  });

  test("copies the ciphertext as it is", async () => {
    const envelope = await seal(answerTo(), a.signer, now);
    const body = await bodyOf(envelope);
    const last = await Array.fromAsync(content[2]?.cipher() ?? []);
    expect(body.includes(Buffer.concat(last).subarray(0, 65_536))).toBe(true);
  });

  test("has the content digest of the original, in whatever order its parts come", async () => {
    const { manifest } = await readdressed(answerTo());
    expect(contentDigest(manifest)).toBe(contentDigest(readManifest(origin.manifest)));
    const [first, one, two] = content;
    const swapped = [first, two, one].filter((part) => part !== undefined);
    const opened = await readdressed(answerTo({ content: swapped }));
    const sizes = (await clearParts(opened)).map(({ length }) => length);
    expect(sizes).toEqual([cda.length, 2 * mebibyte, mebibyte + 10]);
  });

  test("keeps equal images apart", async () => {
    const same = [await document(cda), await instance(octets(9), "1.2.3"), await instance(octets(9), "1.2.4")];
    const { manifest, signature } = await seal(draftOf(same, { purpose: "provide" }), a.signer, now);
    const opened = await readdressed(answerTo({ content: same, origin: { manifest, signature, marks: [] } }));
    expect(opened.manifest.parts).toEqual([
      { n: 1, of: 1 },
      { n: 5, of: 5 },
      { n: 6, of: 6 },
    ]);
    expect(await clearParts(opened)).toHaveLength(3);
  });

  test("is not sealed with a part that its author did not sign, nor with a re-addressed origin", async () => {
    const foreign = [...content.slice(0, 2), await instance(octets(77), "1.2.9")];
    await expect(seal(answerTo({ content: foreign }), a.signer, now)).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
    const again = await seal(answerTo(), a.signer, now);
    const nested = { manifest: again.manifest, signature: again.signature, marks: [] };
    await expect(seal(answerTo({ origin: nested }), a.signer, now)).rejects.toMatchObject({
      code: "ENVELOPE_MALFORMED",
    });
  });
});

describe("91 an origin that does not hold is refused", () => {
  const refused = async (changes: (manifest: Manifest) => unknown, draft: Partial<Draft> = {}): Promise<void> => {
    const forged = await forge({ draft: { content, purpose: "response", origin, ...draft }, manifest: changes });
    await expect(open(forged.headers, inPieces(forged.body), opening()).then(clearParts)).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
    });
  };
  const parts = (change: (parts: Manifest["parts"]) => unknown) => (manifest: Manifest) => ({
    ...manifest,
    parts: change(manifest.parts),
  });

  test("control: unchanged, it is opened", async () => {
    const forged = await forge({ draft: { content, purpose: "response", origin } });
    expect(await clearParts(await open(forged.headers, inPieces(forged.body), opening()))).toHaveLength(3);
  });

  test("origin stripped", () => refused((manifest) => ({ ...manifest, origin: null })));
  test("of twice", () => refused(parts(([one, two, three]) => [one, two, { ...three, of: 5 }])));
  test("of twice, beside the whole record", async () => {
    const { manifest } = await readdressed(answerTo());
    const outer = { ...manifest, parts: [...manifest.parts, { n: 7, of: 6 }] };
    const checks = { trust, now, partner: ownerAmong(parties) };
    const claimed = manifest.origin;
    if (!claimed) throw new Error("a re-addressed record has an origin");
    expect(openOrigin(claimed, manifest, a.org, checks)).toMatchObject({ org: a.org });
    expect(() => openOrigin(claimed, outer, a.org, checks)).toThrow("a part twice, or not all of its parts");
  });
  test("of something that is not there", () => refused(parts(([one, two, three]) => [one, two, { ...three, of: 7 }])));
  test("references swapped", () =>
    refused(parts(([one, two, three]) => [one, { ...two, of: 6 }, { ...three, of: 5 }])));
  test("an image in the document's place, and the document in its", async () => {
    const [first, one, two] = content;
    const swapped = [one, first, two].filter((part) => part !== undefined);
    await refused((manifest) => manifest, { content: swapped });
  });
  test("a document part without of", () =>
    refused(parts(([, ...rest]) => [readManifest(origin.manifest).parts[0], ...rest])));
  test("a part missing", () => refused(parts(([one, two]) => [one, two])));
  test("a signature of other octets", () =>
    refused(({ origin: claimed, ...manifest }) => ({
      ...manifest,
      origin: { ...claimed, manifest: twisted(origin.manifest) },
    })));

  test("the origin of another record", async () => {
    const other = await record(30);
    const { manifest, signature } = await seal(draftOf(other, { purpose: "provide" }), a.signer, now);
    await refused(({ origin: _, ...rest }) => ({
      ...rest,
      origin: { manifest: base64(manifest), signature: base64(signature), marks: [] },
    }));
  });

  test("a command as origin", async () => {
    const { manifest, signature } = await seal(draftOf(content, { purpose: "query" }), a.signer, now);
    await refused((outer) => outer, { origin: { manifest, signature, marks: [] } });
  });

  /** Signed by hospital A, whatever it says. */
  const signedOrigin = async (octets: Uint8Array) => ({
    manifest: base64(octets),
    signature: base64(await signDetached(octets, manifestContentType, a.signer, now)),
    marks: [],
  });
  test("a sender that is not the one who signed", async () => {
    const claimed = await signedOrigin(
      Buffer.from(
        Buffer.from(origin.manifest)
          .toString()
          .replace(/"sender":{"org":"[^"]+"/, `"sender":{"org":"hospital-c"`),
      ),
    );
    await refused(({ origin: _, ...rest }) => ({ ...rest, origin: claimed }));
    const { manifest } = await readdressed(answerTo());
    const checks = { trust, now, partner: ownerAmong(parties) };
    expect(() => openOrigin(claimed, manifest, a.org, checks)).toThrow("its sender is not the one who signed it");
  });
  test("an origin inside an origin", async () => {
    const pushed = { ...(await readdressed(answerTo())).manifest, purpose: "push" };
    const claimed = await signedOrigin(Buffer.from(JSON.stringify(pushed)));
    await refused(({ origin: _, ...rest }) => ({ ...rest, origin: claimed }));
    const { manifest } = await readdressed(answerTo());
    const checks = { trust, now, partner: ownerAmong(parties) };
    expect(() => openOrigin(claimed, manifest, a.org, checks)).toThrow("an origin inside an origin");
  });

  test("99 a relay that is listed for this author, and not for another one", async () => {
    const sealed = await seal(answerTo({ sender: c.org, purpose: "push" }), c.signer, now);
    const relayedBy = (author: string, relays: readonly string[]): Partial<Opening> => ({
      purposes: ["push"],
      partner: (sha256, certificate) => {
        const owner = ownerAmong(parties)(sha256, certificate);
        return owner?.org === author ? { ...owner, relays } : owner;
      },
    });
    const opened = await open(sealed.headers, sealed.body(), openingOf(b, relayedBy(a.org, [registry.org, c.org])));
    expect([opened.org, opened.origin?.org]).toEqual([c.org, a.org]);
    expect((await clearParts(opened)).length).toBe(content.length);
    for (const [author, relays] of [
      [a.org, [registry.org]],
      [c.org, [c.org, a.org]],
    ] as const)
      await expect(open(sealed.headers, sealed.body(), openingOf(b, relayedBy(author, relays)))).rejects.toMatchObject({
        message: "origin: hospital-c is no relay of hospital-a",
      });
  });

  test("a relay that is not the author", async () => {
    const envelope = await seal(answerTo({ sender: c.org }), c.signer, now);
    await expect(open(envelope.headers, inPieces(await bodyOf(envelope)), opening())).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
      message: "origin: hospital-c is no relay of hospital-a",
    });
  });
});

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const twisted = (manifest: Uint8Array): string =>
  base64(Buffer.from(Buffer.from(manifest).toString().replace('"116"', '"113"')));

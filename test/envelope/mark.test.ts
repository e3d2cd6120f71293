/** Marks: somebody else's receipts, which date an author's signature when a record is opened long after (SPEC, re-addressing). */
import { beforeAll, describe, expect, test } from "vitest";
import { type Draft, type Opening, type Origin, open, type Receipt, seal, signReceipt } from "../../envelope/index.ts";
import { signerFrom } from "../../envelope/keys.ts";
import type { Trust } from "../../envelope/path.ts";
import {
  a,
  b,
  c,
  ca,
  dayMs,
  issue,
  later,
  now,
  openingOf,
  ownerAmong,
  type Party,
  party,
  registry,
  trust,
} from "./parties.ts";
import { bodyOf, draftOf, inPieces, message, record } from "./samples.ts";

let content: Draft["content"];
/** What hospital A sealed for its own repository, some days ago. */
let origin: Origin;
let authorsSha256: string;

beforeAll(async () => {
  content = await record();
  const draft = draftOf(content, { purpose: "provide", to: [{ org: a.org, certificate: a.unwrapper.certificate }] });
  const { manifest, signature, manifestSha256 } = await seal(draft, a.signer, later(-3 * dayMs));
  origin = { manifest, signature, marks: [] };
  authorsSha256 = manifestSha256;
});

const receiptOf = (changes: Partial<Receipt> = {}): Receipt => ({
  message,
  id: "0".repeat(32),
  manifestSha256: "0".repeat(64),
  from: registry.org,
  to: a.org,
  verdict: "stored",
  receivedAt: "2026-05-02T08:00:00Z",
  names: [authorsSha256],
  ...changes,
});

const answerTo = (changes: Partial<Draft>): Draft => draftOf(content, { purpose: "response", origin, ...changes });
const opening = (changes: Partial<Opening> = {}): Opening => openingOf(b, { purposes: ["response"], ...changes });

async function readdressed(draft: Draft, changes?: Partial<Opening>) {
  const envelope = await seal(draft, a.signer, now);
  return await open(envelope.headers, inPieces(await bodyOf(envelope)), opening(changes));
}

describe("a mark", () => {
  const mark = (changes: Partial<Receipt> = {}, signer = registry.signer) =>
    signReceipt(receiptOf(changes), signer, now);
  const withMarks = (...marks: readonly Uint8Array[]) => readdressed(answerTo({ origin: { ...origin, marks } }));

  test("dates the author's signature: the earliest one that names the manifest counts", async () => {
    const marks = [
      await mark(),
      await mark({ receivedAt: "2026-05-01T23:00:00Z" }),
      await mark({ receivedAt: "2026-05-01T01:00:00Z", names: [] }),
    ];
    expect((await withMarks(...marks)).origin?.markedAt).toBe("2026-05-01T23:00:00Z");
  });

  test("does not count when the author made it, or when it says refused", async () => {
    const own = await mark({ from: a.org }, a.signer);
    const refusal = await mark({ verdict: "refused" });
    expect((await withMarks(own, refusal)).origin?.markedAt).toBeNull();
  });

  test("that is not what its signer signed refuses the whole envelope", async () => {
    const forged = await mark({ from: registry.org }, c.signer);
    await expect(withMarks(forged)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });

  describe("of a registry whose certificate has ended", () => {
    const ended = issue("registry", "sign", ca, "ec", { notBefore: later(-20 * dayMs), notAfter: later(-dayMs) });
    const former: Party = { ...registry, signer: signerFrom(ended.key, ended.certificate) };
    const opened = async (receivedAt: string, changes: Partial<Trust> = {}) => {
      const marks = [await mark({ receivedAt }, former.signer)];
      const known = { trust: { ...trust, ...changes }, partner: ownerAmong([a, b, c, former]) };
      return (await readdressed(answerTo({ origin: { ...origin, marks } }), known)).origin?.markedAt;
    };

    test("still dates what it received in its time", async () => {
      expect(await opened("2026-05-02T08:00:00Z")).toBe("2026-05-02T08:00:00Z");
    });

    test.each([
      ["after its end", "2026-05-04T08:00:00Z", {}, /expired/],
      ["before its beginning", "2026-04-10T08:00:00Z", {}, /not valid before/],
      [
        "in its time, but was revoked since",
        "2026-05-02T08:00:00Z",
        { crls: [ca.crl([former.signer.certificate])] },
        /revoked/,
      ],
      ["in its time, but no revocation list is there", "2026-05-02T08:00:00Z", { crls: [] }, /no revocation list/],
    ] as const)("refuses the record when it says that it was received %s", async (_, receivedAt, changes, message) => {
      await expect(opened(receivedAt, changes)).rejects.toMatchObject({
        code: "ENVELOPE_NOT_OPENED",
        message: expect.stringMatching(message),
      });
    });
  });

  test("before the author's certificate was revoked keeps the record readable; without it the record is refused", async () => {
    const revoked = { ...trust, crls: [ca.crl([a.signer.certificate])] };
    // The relay signs with a certificate of the same house that is still good.
    const renewed = party(a.org, ca);
    const known = { trust: revoked, partner: ownerAmong([a, renewed, registry]) };
    const sealedAgain = async (marks: readonly Uint8Array[]) => {
      const envelope = await seal(answerTo({ origin: { ...origin, marks } }), renewed.signer, now);
      return await open(envelope.headers, inPieces(await bodyOf(envelope)), opening(known));
    };
    expect((await sealedAgain([await mark()])).origin?.markedAt).toBe("2026-05-02T08:00:00Z");
    await expect(sealedAgain([])).rejects.toMatchObject({
      code: "ENVELOPE_NOT_OPENED",
      message: expect.stringContaining("revoked"),
    });
  });
});

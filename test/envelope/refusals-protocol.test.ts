/** What is refused although it is sound: at the wrong time, from the wrong one, for the wrong purpose. */
import { describe, expect, test } from "vitest";
import { sealHeader } from "../../envelope/headers.ts";
import { open } from "../../envelope/index.ts";
import { manifestContentType, signDetached } from "../../envelope/signed-data.ts";
import { forge } from "./forge.ts";
import { a, b, c, dayMs, later, now, openingOf, ownerAmong, parties, registry } from "./parties.ts";
import { check, inPart, openAll } from "./refusals.ts";
import { flipped, inPieces, octets } from "./samples.ts";

const reply = { inReplyTo: "1".repeat(32), requestDigest: "2".repeat(64), from: a.org };

describe("protocol", () => {
  check(
    {
      "78 an id that was seen": { opening: { hasSeen: (org) => org === a.org }, code: "ENVELOPE_REPLAYED" },
      "79 expired": { created: later(-2 * dayMs), code: "ENVELOPE_EXPIRED" },
      "79 from the future": { created: later(6 * 60_000), code: "ENVELOPE_EXPIRED" },
      "79 a lifetime over seven days": { expires: later(7 * dayMs + 1000) },
      "79 expires before it is created": { expires: later(-1000) },
      "80 for a key that is not ours": { draft: { to: [{ org: b.org, certificate: c.unwrapper.certificate }] } },
      "88 provide from a partner": { draft: { purpose: "provide" }, code: "NOT_PERMITTED" },
      "92 an answer where a request is due": { draft: { inReplyTo: "1".repeat(32), requestDigest: "2".repeat(64) } },
      "92 a request where an answer is due": { opening: { reply } },
      "92 an answer to another request": {
        draft: { inReplyTo: "3".repeat(32), requestDigest: "2".repeat(64) },
        opening: { reply },
      },
      "92 an answer to a request that was changed": {
        draft: { inReplyTo: "1".repeat(32), requestDigest: "3".repeat(64) },
        opening: { reply },
      },
      "92 an answer from another organisation": {
        draft: { inReplyTo: "1".repeat(32), requestDigest: "2".repeat(64) },
        opening: { reply: { ...reply, from: registry.org } },
      },
      "92 sent over another partner's connection": { opening: { peer: c.org } },
    },
    "ENVELOPE_NOT_OPENED",
    /answer|^signed by|a lifetime|for a key of ours|opened before|has expired|from the future|not taken here/,
  );

  test("the edges of the time window are open", async () => {
    expect(await openAll(await forge({ created: later(4 * 60_000) }))).toBe(2);
    expect(await openAll(await forge({ created: later(-dayMs - 4 * 60_000) }))).toBe(2);
    expect(await openAll(await forge({ expires: later(7 * dayMs) }))).toBe(2);
  });

  test("85 bad padding, bad tag and bad signature are one code", async () => {
    const padding = await forge({
      value: (name, value, key) => (name === "X-EEC-Sender" ? sealHeader(key, name, "hospital-a".padEnd(70)) : value),
    });
    const tag = await forge(inPart(2, (octets) => flipped(octets, octets.length - 10)));
    const signature = await forge({ signature: (detached) => flipped(detached, detached.length - 3) });
    for (const forged of [padding, tag, signature])
      await expect(openAll(forged)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });

  test("a part that is left before its end stops everything", async () => {
    const { headers, body } = await forge({ sizes: [500, 600] });
    const opened = await open(headers, inPieces(body), openingOf(b));
    const skim = async () => {
      for await (const _ of opened.parts());
    };
    await expect(skim()).rejects.toMatchObject({ code: "UNEXPECTED" });
  });

  test("a part over the caller's limit is refused before it is read", async () => {
    const { headers, body } = await forge({});
    const opened = await open(headers, inPieces(body), openingOf(b));
    const first = await opened.parts().next();
    if (first.done === true) throw new Error("an envelope has a part 1");
    await expect(first.value.bytes(10)).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  test("signatures are judged by who owns the certificate, whatever the manifest says", async () => {
    const forged = await forge({ signer: c.signer });
    await expect(openAll(forged, { partner: ownerAmong(parties) })).rejects.toMatchObject({
      message: "the sender is not the one who signed",
    });
  });

  test("detached signatures of other octets do not verify", async () => {
    const forged = await forge({
      signature: (_, manifest) =>
        signDetached(Buffer.concat([manifest, octets(1)]), manifestContentType, a.signer, now),
    });
    await expect(openAll(forged)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });
});

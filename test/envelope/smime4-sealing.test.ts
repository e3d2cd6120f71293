import { describe, expect, test } from "vitest";
import { type Draft, openSmime4, sealSmime4 } from "../../envelope/index.ts";
import { codeOf } from "../../errors.ts";
import { a, b, now } from "./parties.ts";
import { bodyOf, draftOf, inPieces, instance, mebibyte, octets, record } from "./samples.ts";
import { openAll, smime4Opening } from "./smime4-forge.ts";

describe("sealing as S/MIME", () => {
  test("draws another key for every body", async () => {
    const envelope = await sealSmime4(draftOf(await record(10)), a.signer, now);
    const [one, two] = [await bodyOf(envelope), await bodyOf(envelope)];
    expect(one.length).toBe(two.length);
    expect(one.subarray(-500).equals(two.subarray(-500))).toBe(false);
    for (const body of [one, two]) expect(await openAll({ headers: envelope.headers, body })).toBe(2);
  });

  test("tells nothing of its contents in the clear", async () => {
    const envelope = await sealSmime4(draftOf(await record(100)), a.signer, now);
    const body = await bodyOf(envelope);
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

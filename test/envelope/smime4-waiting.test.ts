import { describe, expect, test } from "vitest";
import { openSmime4, sealSmime4 } from "../../envelope/index.ts";
import { codeOf } from "../../errors.ts";
import { a, b, now } from "./parties.ts";
import { bodyOf, cda, clearParts, collect, draftOf, flipped, inPieces, mebibyte, octets, record } from "./samples.ts";
import { forge, memorySpool, smime4Opening } from "./smime4-forge.ts";

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

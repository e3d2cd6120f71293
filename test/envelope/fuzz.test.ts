/**
 * Broken input from seeds: every reader of the envelope either gives what was sealed or fails with a typed fault, in time and
 * memory. A seed that once failed is kept in `kept` and runs first. FUZZ_SECONDS says how long; a failure prints its seed.
 */
import { describe, expect, test } from "vitest";
import { readCertificate } from "../../envelope/certificate.ts";
import { readCrl } from "../../envelope/crl.ts";
import {
  open,
  open2017,
  openSmime4,
  readManifest,
  readMessage,
  seal,
  seal2017,
  sealSmime4,
  verifyReceipt,
  verifySignedData,
} from "../../envelope/index.ts";
import { readRequest } from "../../envelope/request.ts";
import { manifestContentType } from "../../envelope/signed-data.ts";
import { type Chance, chanceOf as chance, fuzzSeconds as seconds, typed } from "../seeded.ts";
import { bodyOf2017, clear2017, draft2017, hospitalA, opening2017 } from "./legacy.ts";
import { a, b, ca, now, openingOf } from "./parties.ts";
import { bodyOf, clearParts, draftOf, inPieces, record } from "./samples.ts";
import { smime4Opening } from "./smime4-forge.ts";

/** Seeds that found something. */
const kept: readonly number[] = [1, 20_241, 777_001];

type Change = (bytes: Buffer, at: number, random: Chance) => Buffer;

const telling = [0x00, 0x80, 0xff, 0x30, 0x31, 0x24, 0x04, 0xa0, 0x0d, 0x0a, 0x2d, 0x7f];
const changes: readonly Change[] = [
  (bytes, at, random) =>
    Buffer.concat([bytes.subarray(0, at), Buffer.of((bytes[at] ?? 0) ^ (1 << random(8))), bytes.subarray(at + 1)]),
  (bytes, at, random) =>
    Buffer.concat([bytes.subarray(0, at), Buffer.of(telling[random(telling.length)] ?? 0), bytes.subarray(at + 1)]),
  (bytes, at, random) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(64))]),
  (bytes, at, random) =>
    Buffer.concat([
      bytes.subarray(0, at),
      Buffer.alloc(1 + random(64), telling[random(telling.length)]),
      bytes.subarray(at),
    ]),
  (bytes, at) => bytes.subarray(0, at),
  (bytes, at, random) => {
    const from = random(bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, from + random(4096)), bytes.subarray(at)]);
  },
  (bytes, at, random) => {
    const copy = Buffer.from(bytes);
    copy.copy(copy, at, random(bytes.length), bytes.length);
    return copy;
  },
];

/** One to three changes; places near the front, where the structure is, as often as anywhere. */
function broken(bytes: Buffer, random: Chance): Buffer {
  let changed = bytes;
  for (let count = 1 + random(3); count > 0 && changed.length > 0; count -= 1) {
    const at = random(2) === 0 ? random(changed.length) : random(Math.min(changed.length, 8192));
    changed = changes[random(changes.length)]?.(changed, at, random) ?? changed;
  }
  return changed;
}

/** Runs the seeds that are kept, then new ones until the time is over. */
async function fuzz(target: (random: Chance) => Promise<void>, share: number): Promise<number> {
  const end = performance.now() + seconds * 1000 * share;
  const first = Math.floor(Math.random() * 2 ** 31);
  let runs = 0;
  for (let seed = first; runs < kept.length || performance.now() < end; seed += 1) {
    const used = kept[runs] ?? seed;
    const started = performance.now();
    await target(chance(used)).catch((cause: unknown) => {
      throw new Error(`seed ${used}: ${cause instanceof Error ? cause.stack : String(cause)}`, { cause });
    });
    if (performance.now() - started > 5_000) throw new Error(`seed ${used}: took ${performance.now() - started} ms`);
    runs += 1;
  }
  return runs;
}

const timeout = (seconds + 60) * 1000;

describe("whole envelopes", () => {
  test(
    "semrs-2: header block and body",
    async () => {
      const content = await record(1_100_000, 5_000);
      const sealed = await seal(draftOf(content), a.signer, now);
      const expected = await clearParts(await open(sealed.headers, sealed.body(), openingOf(b)));
      const block = sealed.headers.map((pair) => pair.join(": ")).join("\r\n");
      const whole = Buffer.concat([Buffer.from(`${block}\r\n\r\n`), await bodyOf(sealed)]);
      const runs = await fuzz(async (random) => {
        const bytes = broken(whole, random);
        await typed(async () => {
          const { headers, body } = await readMessage(inPieces(bytes, 1 + random(100_000)));
          expect(await clearParts(await open(headers, body, openingOf(b)))).toEqual(expected);
        });
      }, 0.3);
      expect(runs).toBeGreaterThan(kept.length);
    },
    timeout,
  );

  test(
    "smime-4",
    async () => {
      const sealed = await sealSmime4(draftOf(await record(5_000)), a.signer, now);
      const whole = await bodyOf(sealed);
      const opening = () => smime4Opening(b);
      const expected = await clearParts(await openSmime4(sealed.headers, inPieces(whole), opening()));
      const runs = await fuzz(async (random) => {
        await typed(async () => {
          const opened = await openSmime4(
            sealed.headers,
            inPieces(broken(whole, random), 1 + random(10_000)),
            opening(),
          );
          expect(await clearParts(opened)).toEqual(expected);
        });
      }, 0.2);
      expect(runs).toBeGreaterThan(kept.length);
    },
    timeout,
  );

  test(
    "semrs-2017: the document is what was signed, whatever became of the images",
    async () => {
      const sealed = await seal2017(draft2017([5_000]), hospitalA.signer);
      const whole = await bodyOf2017(sealed);
      const runs = await fuzz(async (random) => {
        await typed(async () => {
          const opened = await open2017(
            sealed.headers,
            inPieces(broken(whole, random), 1 + random(10_000)),
            opening2017(),
          );
          if (opened.outcome !== "opened") throw new Error("nothing was stored");
          expect(opened.documentSha256).toBe(sealed.documentSha256);
          await clear2017(opened);
        });
      }, 0.2);
      expect(runs).toBeGreaterThan(kept.length);
    },
    timeout,
  );
});

describe("single readers", () => {
  test(
    "headers, manifest, signature, receipt, certificate, revocation list, request",
    async () => {
      const sealed = await seal(draftOf(await record(100)), a.signer, now);
      const checks = { trust: openingOf(b).trust, now, partner: () => ({ org: a.org }) };
      const { crls } = openingOf(b).trust;
      const readers: readonly (readonly [Buffer, (bytes: Buffer) => unknown])[] = [
        [Buffer.from(sealed.manifest), (bytes) => readManifest(bytes)],
        [Buffer.from(sealed.signature), (bytes) => verifySignedData(bytes, manifestContentType, sealed.manifest)],
        [Buffer.from(sealed.signature), (bytes) => verifyReceipt(bytes, checks)],
        [Buffer.from(a.signer.certificate), (bytes) => readCertificate(bytes)],
        [Buffer.from(crls[0] ?? ca.certificate), (bytes) => readCrl(bytes)],
        [Buffer.from(a.signer.certificate), (bytes) => readRequest(bytes)],
        [
          Buffer.from(`${sealed.headers.map((pair) => pair.join(": ")).join("\r\n")}\r\n\r\n`),
          async (bytes) => {
            const { headers, body } = await readMessage(inPieces(bytes, 100));
            await open(headers, body, openingOf(b));
          },
        ],
      ];
      const runs = await fuzz(async (random) => {
        const [bytes, read] = readers[random(readers.length)] ?? [Buffer.alloc(0), () => undefined];
        const changed = broken(bytes, random);
        await typed(() => read(changed));
      }, 0.3);
      expect(runs).toBeGreaterThan(500);
    },
    timeout,
  );
});

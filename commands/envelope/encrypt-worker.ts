/** The thread of `sealInPlace` that encrypts: each file under a key that is drawn here, its ciphertext where the envelope has it. */
import { closeSync, openSync, writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { sealDigested, segmentBytes } from "../../envelope/part.ts";
import { emptyRing } from "./ring.ts";
import type { Encrypted, Encryption } from "./seal-in-place.ts";

const { out, ring, files } = workerData as Encryption;
const handle = openSync(out, "r+");
const encrypted: Encrypted[] = [];
for (const { size, places } of files) {
  // Its digests are another thread's.
  const part = sealDigested({ size, sha256: null, segs: null, root: null }, async function* () {
    yield* emptyRing(ring, size);
  });
  let done = 0;
  for await (const chunk of part.cipher()) {
    // Pieces of a quarter of a mebibyte end where it ends.
    writeSync(handle, chunk, 0, chunk.length, (places[Math.floor(done / segmentBytes)] ?? 0) + (done % segmentBytes));
    done += chunk.length;
  }
  const { cek, nonce, tag } = part.facts;
  encrypted.push({ cek, nonce, tag });
}
closeSync(handle);
parentPort?.postMessage(encrypted);

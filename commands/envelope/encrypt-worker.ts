/** The thread of `sealInPlace` that encrypts: each file under a key that is drawn here, its ciphertext where the envelope has it. */
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { sealDigested, segmentBytes } from "../../envelope/part.ts";
import { giveBack } from "../../memory.ts";
import { emptyRing, helpDigest } from "./ring.ts";
import type { Encrypted, Encryption, Placed } from "./seal-in-place.ts";

/** More at once leaves the processor's cache before it is written. */
const pieceBytes = 1 << 18;

const { ring, sizes } = workerData as Encryption;
const [{ out, places }] = (await once(parentPort as MessagePort, "message")) as [Placed];
const handle = openSync(out, "r+");
const encrypted: Encrypted[] = [];
let segment = 0;
for (const size of sizes) {
  const from = segment;
  segment += Math.ceil(size / segmentBytes);
  // Its digests are taken beside.
  const part = sealDigested({ size, sha256: null, segs: null, root: null }, async function* () {
    for (const octets of emptyRing(ring, from, segment))
      for (let at = 0; at < octets.length; at += pieceBytes) yield octets.subarray(at, at + pieceBytes);
  });
  let done = 0;
  for await (const chunk of part.cipher()) {
    // Pieces of a quarter of a mebibyte end where it ends.
    const place = (places[from + Math.floor(done / segmentBytes)] ?? 0) + (done % segmentBytes);
    done += chunk.length;
    for (let at = 0; at < chunk.length; ) at += writeSync(handle, chunk, at, chunk.length - at, place + at);
    // Given back at once: waiting for collections cost a seventh of all time.
    giveBack(chunk);
  }
  const { cek, nonce, tag } = part.facts;
  encrypted.push({ cek, nonce, tag });
}
helpDigest(ring);
closeSync(handle);
parentPort?.postMessage(encrypted);

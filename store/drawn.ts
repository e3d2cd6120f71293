/** Random octets in small pieces: to draw a dozen takes as long as to draw a thousand, so that they are drawn ahead. */
import { randomFillSync } from "node:crypto";

const aheadBytes = 4096;
const ahead = Buffer.allocUnsafeSlow(aheadBytes);
let at = aheadBytes;

/**
 * So many octets that nobody else was or will be given, for nonces and ids: what is drawn ahead lies in memory, where no key
 * should. Overwritten once all are given: whoever keeps them copies them.
 */
export function drawn(bytes: number): Buffer {
  if (at + bytes > aheadBytes) {
    randomFillSync(ahead);
    at = 0;
  }
  at += bytes;
  return ahead.subarray(at - bytes, at);
}

/** A part that is small enough to be held in memory. */
import { Fault } from "../errors.ts";

/** What comes in several pieces begins with so much room. */
const severalBytes = 64 * 1024;

/** The next body whole; ENVELOPE_MALFORMED when there is none, TOO_LARGE beyond the limit. */
export async function buffered(bodies: AsyncGenerator<AsyncIterable<Uint8Array>>, limit: number): Promise<Uint8Array> {
  const body = await bodies.next();
  if (body.done === true) throw new Fault("ENVELOPE_MALFORMED", "MIME: an envelope has at least four parts");
  let gathered: Buffer = Buffer.alloc(0);
  let size = 0;
  for await (const piece of body.value) {
    const end = size + piece.length;
    if (end > limit) throw new Fault("TOO_LARGE", `a part that is held in memory is over ${limit} octets`);
    // One buffer that grows: a list of pieces could be as long as the sender likes to make it. Mostly there is one piece, and a
    // buffer for more would be what collections are asked for.
    if (end > gathered.length)
      gathered = Buffer.concat(
        [gathered.subarray(0, size)],
        size === 0 ? end : Math.max(end, severalBytes, 2 * gathered.length),
      );
    gathered.set(piece, size);
    size = end;
  }
  return gathered.subarray(0, size);
}

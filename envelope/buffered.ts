/** A part that is small enough to be held in memory. */
import { Fault } from "../errors.ts";

/** What comes in several pieces begins with so much room. */
const severalBytes = 64 * 1024;

/** The next body whole; ENVELOPE_MALFORMED when there is none, TOO_LARGE beyond the limit. */
export async function buffered(bodies: AsyncGenerator<AsyncIterable<Uint8Array>>, limit: number): Promise<Uint8Array> {
  const body = await bodies.next();
  if (body.done === true) throw new Fault("ENVELOPE_MALFORMED", "MIME: an envelope has at least four parts");
  let gathered: Uint8Array = new Uint8Array();
  let size = 0;
  for await (const piece of body.value) {
    const end = size + piece.length;
    if (end > limit) throw new Fault("TOO_LARGE", `a part that is held in memory is over ${limit} octets`);
    // Most are small and come in one piece, which stays where it is.
    if (size === 0) gathered = piece;
    else {
      // One buffer that grows: a list of pieces could be as long as the sender likes to make it.
      if (end > gathered.length) gathered = grown(gathered.subarray(0, size), end);
      gathered.set(piece, size);
    }
    size = end;
  }
  return gathered.subarray(0, size);
}

function grown(octets: Uint8Array, bytes: number): Uint8Array {
  const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * octets.length, severalBytes));
  larger.set(octets);
  return larger;
}

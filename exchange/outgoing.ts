/** The body of a large answer on its way: a piece is sent before the next is asked for, and its memory is free at once. */
import type { ServerResponse } from "node:http";
import { finished } from "node:stream/promises";
import { usedUp } from "../memory.ts";
import { type Pace, slowest } from "./pace.ts";

/**
 * Sends all of a body and ends the answer. Rejects when the body fails, which breaks the answer off, or the connection ends
 * before, as it does for a peer that takes nothing for twice as long as `pace` says, or less than that of a piece: it may come back.
 */
export async function sendBody(
  body: AsyncIterable<Uint8Array>,
  response: ServerResponse,
  { bytes, ms }: Pace = slowest,
): Promise<void> {
  let broken = (): void => undefined;
  response.once("close", () => broken());
  response.setTimeout(2 * ms, () => response.destroy());
  const written = (piece: Uint8Array): Promise<void> =>
    new Promise<void>((resolve, reject) => {
      broken = () => reject(new Error("the connection ended before the answer"));
      if (response.destroyed) return broken();
      const patience = setTimeout(() => response.destroy(), Math.ceil(piece.length / bytes) * ms);
      response.write(piece, (cause) => {
        clearTimeout(patience);
        if (cause) reject(cause);
        else resolve();
      });
    });
  try {
    for await (const piece of body) {
      if (piece.length === 0) continue;
      await written(piece);
      usedUp(piece);
    }
    response.end();
    await finished(response);
  } catch (thrown) {
    // What was announced and does not come may not look like an end.
    response.destroy();
    throw thrown;
  }
}

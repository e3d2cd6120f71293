/** The body of a large answer on its way: a piece is sent before the next is asked for, and its memory is free at once. */
import type { ServerResponse } from "node:http";
import { finished } from "node:stream/promises";
import { usedUp } from "../memory.ts";

/** Sends all of a body and ends the answer. Rejects when the body fails, which breaks the answer off, or the connection ends before. */
export async function sendBody(body: AsyncIterable<Uint8Array>, response: ServerResponse): Promise<void> {
  let broken = (): void => undefined;
  response.once("close", () => broken());
  const written = (piece: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      broken = () => reject(new Error("the connection ended before the answer"));
      if (response.destroyed) return broken();
      response.write(piece, (cause) => (cause ? reject(cause) : resolve()));
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

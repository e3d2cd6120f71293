/** What is left of a body when the answer is known: a peer reads none before it has sent its request, and none keeps a connection by sending on. */
import type { Request, Response } from "express";
import { Fault } from "../errors.ts";
import { type Pace, paced, slowest } from "./pace.ts";

const maxDrainedBytes = 64 * 1024 * 1024;

/** The body, left open when it is not read to its end: the answer still has to go out on its connection. PEER_UNREACHABLE where it breaks off. */
export const unread = (request: Request): AsyncIterable<Uint8Array> => ({
  [Symbol.asyncIterator]: async function* () {
    try {
      yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
    } catch (cause) {
      throw new Fault("PEER_UNREACHABLE", "the connection broke off within the request; it comes again", { cause });
    }
  },
});

/** A little more of the body is taken; behind a flood, or a drip, the connection ends with the answer. */
export async function leave(request: Request, response: Response, body: AsyncIterable<Uint8Array>): Promise<void> {
  if (!request.complete) await drain(body);
  if (!request.complete && !response.headersSent) response.setHeader("Connection", "close");
}

/** The same for a request whose body nobody reads. */
export async function passOver(request: Request, response: Response, pace: Pace = slowest): Promise<void> {
  const { "content-length": length = "0", "transfer-encoding": coding } = request.headers;
  if (length !== "0" || coding !== undefined) await leave(request, response, paced(unread(request), pace).body);
}

async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  let taken = 0;
  try {
    for await (const chunk of body) {
      taken += chunk.length;
      if (taken > maxDrainedBytes) return;
    }
  } catch {
    // The peer is gone, or too slow: nobody waits for the rest.
  }
}

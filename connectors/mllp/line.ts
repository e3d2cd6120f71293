/** A connection to a system that takes messages: what it answers, frame by frame, and whether another message may use it. */
import type { Socket } from "node:net";
import { openFramer } from "./framer.ts";

const maxAckBytes = 1024 * 1024;
/** Answers that nobody asked for; a peer that sends more is not listened to any longer. */
const maxWaiting = 64;

export type Line = {
  write(octets: Uint8Array): void;
  /** The next answer; undefined once the connection has ended. Rejects with the signal's reason, and when `ms` have passed. */
  next(signal: AbortSignal, ms: number): Promise<Uint8Array | undefined>;
  /** Answers that came while none was awaited; they are gone then. */
  takeLate(): readonly Uint8Array[];
  readonly isOpen: () => boolean;
  /** While nobody uses it: it keeps no process alive, and `ended` is told when the peer closes it. */
  rest(ended: () => void): void;
  use(): void;
  /** Once all that was written is sent. */
  close(): void;
  /** At once: what the peer has not taken of it by then does not come later, when it was sent again. */
  cut(): void;
};

/** Takes a connected socket over. */
export function openLine(socket: Socket): Line {
  const framer = openFramer(maxAckBytes);
  let waiting: Uint8Array[] = [];
  let isEnded = socket.destroyed;
  let wake = Promise.withResolvers<void>();
  let ended = (): void => undefined;
  /** Nothing more of it comes: what an answer says in MSA is said, whatever its frame lacks, and an unanswered message comes twice. */
  const takeRest = (): void => {
    for (const frame of framer.end()) if (frame.kind === "broken") waiting.push(frame.bytes);
  };
  const end = (): void => {
    takeRest();
    isEnded = true;
    wake.resolve();
    ended();
  };
  socket
    .on("data", (chunk: Buffer) => {
      for (const frame of framer.push(chunk)) if (frame.kind !== "oversize") waiting.push(frame.bytes);
      if (waiting.length > maxWaiting) socket.destroy();
      wake.resolve();
    })
    .once("end", end)
    .once("close", end);
  const close = (): void => {
    socket.end();
    socket.destroySoon();
  };
  return {
    write: (octets) => void socket.write(octets),
    next: async (signal, ms) => {
      const aborted = Promise.withResolvers<never>();
      const abort = (): void => aborted.reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      // A timer that is taken back: one of AbortSignal.timeout would go off for every message that was answered long ago.
      const late = setTimeout(() => {
        takeRest();
        if (waiting.length > 0) wake.resolve();
        else aborted.reject(new Error(`no answer within ${ms} ms`));
      }, ms);
      aborted.promise.catch(() => undefined);
      try {
        while (waiting.length === 0 && !isEnded) {
          signal.throwIfAborted();
          await Promise.race([wake.promise, aborted.promise]);
          wake = Promise.withResolvers<void>();
        }
        return waiting.shift();
      } finally {
        clearTimeout(late);
        signal.removeEventListener("abort", abort);
      }
    },
    takeLate: () => {
      const late = waiting;
      waiting = [];
      return late;
    },
    isOpen: () => !isEnded && socket.writable,
    rest: (told) => {
      ended = told;
      socket.unref();
    },
    use: () => {
      ended = () => undefined;
      socket.ref();
    },
    close,
    cut: () => void socket.destroy(),
  };
}

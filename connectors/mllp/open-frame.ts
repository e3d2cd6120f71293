/**
 * The octets of a frame that is not whole yet. They are copied out of the chunks they came in, and those are given back at
 * once: the collector would let tens of megabytes of them gather before it looks (V8 counts 64 MB of external memory).
 */
import { giveBack } from "../../memory.ts";

/** Pieces grow with the frame between these. */
const [leastBytes, mostBytes] = [1024, 1024 * 1024];

export type OpenFrame = {
  readonly size: () => number;
  /** Copies them. */
  add(octets: Uint8Array): void;
  /** All of them, in memory of their own; nothing is left. */
  take(): Uint8Array;
  /** A copy of so many of the first ones. */
  head(most: number): Uint8Array;
  forget(): void;
};

export function openFrame(): OpenFrame {
  let pieces: Uint8Array[] = [];
  let size = 0;
  /** Octets that the last piece has room for. */
  let room = 0;
  const forget = (): void => {
    pieces.forEach(giveBack);
    pieces = [];
    size = room = 0;
  };
  return {
    size: () => size,
    add: (octets) => {
      for (let rest = octets; rest.length > 0; ) {
        if (room === 0) {
          room = Math.min(mostBytes, Math.max(leastBytes, size, rest.length));
          pieces.push(Buffer.allocUnsafeSlow(room));
        }
        const some = rest.subarray(0, room);
        const last = pieces.at(-1);
        last?.set(some, last.length - room);
        room -= some.length;
        size += some.length;
        rest = rest.subarray(some.length);
      }
    },
    take: () => {
      const whole = Buffer.allocUnsafeSlow(size);
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece.subarray(0, size - at), at);
        at += piece.length;
        giveBack(piece);
      }
      pieces = [];
      forget();
      return whole;
    },
    head: (most) => Buffer.concat(pieces, Math.min(size, most)),
    forget,
  };
}

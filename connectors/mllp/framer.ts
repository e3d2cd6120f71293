/** MLLP framing (HL7 MLLP release 1): VT, message, FS CR. Correct on every split and coalescing of chunks; never merges two messages. */
import { giveBack } from "../../memory.ts";
import { openFrame } from "./open-frame.ts";

const [vt, fs, cr] = [0x0b, 0x1c, 0x0d];
/** What is kept of one that is over the limit: as much as an MSH line may have. */
const maxHeadBytes = 16 * 1024;
/** Octets that some systems write after each frame, or to keep a connection open: NUL, LF, CR, space. They begin nothing. */
const padding: ReadonlySet<number> = new Set([0x00, 0x0a, 0x0d, 0x20]);
/** The memory of larger messages is given back with their answer. */
const largeBytes = 1024 * 1024;
/** A segment ends in CR; LF and CRLF are taken for it, where what follows is a header for certain. */
const [headMsh, headAfterLf] = [Buffer.from("\rMSH"), Buffer.from("\nMSH")];

/**
 * A whole message; or bytes that broke the framing, with what was wrong. `release` gives the memory of a large one back now, and
 * not at a collection: its bytes are empty then.
 */
export type Frame =
  | { readonly kind: "message"; readonly bytes: Uint8Array; readonly release?: () => void }
  | { readonly kind: "broken"; readonly bytes: Uint8Array; readonly reason: string }
  /** Over the limit: nothing is kept but how it begins, to answer it, and nothing after it can be trusted. */
  | { readonly kind: "oversize"; readonly head: Uint8Array };

export type Framer = {
  /** Frames that this chunk completed. The chunk is the framer's: it is given back unless a frame lies in it. */
  push(chunk: Uint8Array): readonly Frame[];
  /** Octets outside frames so far. */
  readonly noise: () => number;
  /** Those of them that are no padding. */
  readonly stray: () => number;
  /** Whether a frame is open. */
  readonly isOpen: () => boolean;
  /** Octets of the open frame. */
  readonly held: () => number;
  /** The connection is over: what had come of an open frame. */
  end(): readonly Frame[];
};

/** A framer for one connection. */
export function openFramer(maxBytes: number): Framer {
  /** Octets of the open frame, and a whole one that came in one chunk: it is left there. */
  const open = openFrame();
  let lone: Uint8Array | undefined;
  let noise = 0;
  let stray = 0;
  let state: "idle" | "open" | "ending" = "idle";

  const held = (): number => lone?.length ?? open.size();
  const take = (): Uint8Array => {
    const bytes = lone ?? open.take();
    lone = undefined;
    return bytes;
  };
  const broken = (reason: string): readonly Frame[] => {
    const bytes = take();
    return bytes.length === 0 ? [] : [{ kind: "broken", bytes, reason }];
  };
  const finish = (): Frame => {
    const bytes = take();
    // A batch holds several by right (HL7 v2.5.1 2.10.3); its header begins with F or B.
    const isOne = bytes[0] === headMsh[1];
    if (isOne && hasSecond(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)))
      return { kind: "broken", bytes, reason: "two messages in one frame" };
    return bytes.length > largeBytes
      ? { kind: "message", bytes, release: () => giveBack(bytes) }
      : { kind: "message", bytes };
  };

  return {
    push: (chunk) => {
      const frames: Frame[] = [];
      let at = 0;
      let isShared = false;
      while (at < chunk.length) {
        if (state === "idle") {
          const start = chunk.indexOf(vt, at);
          const before = chunk.subarray(at, start < 0 ? chunk.length : start);
          noise += before.length;
          for (const octet of before) if (!padding.has(octet)) stray += 1;
          if (start < 0) break;
          at = start + 1;
          state = "open";
        } else if (state === "ending") {
          const next = chunk[at];
          if (next === cr) {
            at += 1;
            state = "idle";
            frames.push(finish());
          } else {
            state = next === vt ? "open" : "idle";
            at += next === vt ? 1 : 0;
            frames.push(...broken("FS without CR"));
          }
        } else {
          const end = chunk.indexOf(fs, at);
          const stop = end < 0 ? chunk.length : end;
          const restart = chunk.subarray(at, stop).indexOf(vt);
          const piece = chunk.subarray(at, restart < 0 ? stop : at + restart);
          if (open.size() + piece.length > maxBytes) {
            const head = Buffer.concat([open.head(maxHeadBytes), piece.subarray(0, maxHeadBytes)]);
            open.forget();
            return [...frames, { kind: "oversize", head }];
          }
          if (end >= 0 && restart < 0 && open.size() === 0) {
            lone = piece;
            isShared = true;
          } else open.add(piece);
          if (restart >= 0) {
            frames.push(...broken("a start block inside an open frame"));
            at += restart + 1;
          } else {
            at = end < 0 ? chunk.length : end + 1;
            if (end >= 0) state = "ending";
          }
        }
      }
      if (!isShared) giveBack(chunk);
      return frames;
    },
    noise: () => noise,
    stray: () => stray,
    isOpen: () => state !== "idle",
    held,
    end: () => {
      state = "idle";
      return broken("the connection ended inside a frame");
    },
  };
}

/** Whether another header begins within a message; after LF, which may stand in a text, one with the separator of the first. */
const hasSecond = (message: Buffer): boolean =>
  message.includes(headMsh) || message.includes(Buffer.concat([headAfterLf, message.subarray(3, 4)]));

/** A message in its frame. */
export const frameOf = (message: Uint8Array): Uint8Array => frameOfPieces([message]);
/** The same from its pieces, which are copied once. */
export const frameOfPieces = (pieces: readonly Uint8Array[]): Uint8Array =>
  Buffer.concat([Uint8Array.of(vt), ...pieces, Uint8Array.of(fs, cr)]);

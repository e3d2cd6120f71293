/** MLLP framing (HL7 MLLP release 1): VT, message, FS CR. Correct on every split and coalescing of chunks; never merges two messages. */

const [vt, fs, cr] = [0x0b, 0x1c, 0x0d];
const headMsh = Buffer.from("\rMSH");

/** A whole message; or bytes that broke the framing, with what was wrong. */
export type Frame =
  | { readonly kind: "message"; readonly bytes: Uint8Array }
  | { readonly kind: "broken"; readonly bytes: Uint8Array; readonly reason: string }
  /** Over the limit: nothing is kept, and nothing after it can be trusted. */
  | { readonly kind: "oversize" };

export type Framer = {
  /** Frames that this chunk completed. */
  push(chunk: Uint8Array): readonly Frame[];
  /** Octets outside frames so far. */
  readonly noise: () => number;
  /** Whether a frame is open. */
  readonly isOpen: () => boolean;
  /** Octets of the open frame. */
  readonly held: () => number;
  /** The connection is over: what had come of an open frame. */
  end(): readonly Frame[];
};

/** A framer for one connection. */
export function openFramer(maxBytes: number): Framer {
  let parts: Uint8Array[] = [];
  let size = 0;
  let noise = 0;
  let state: "idle" | "open" | "ending" = "idle";

  const take = (): Uint8Array => {
    const bytes = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, size);
    parts = [];
    size = 0;
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
    if (isOne && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(headMsh) >= 0)
      return { kind: "broken", bytes, reason: "two messages in one frame" };
    return { kind: "message", bytes };
  };

  return {
    push: (chunk) => {
      const frames: Frame[] = [];
      let at = 0;
      while (at < chunk.length) {
        if (state === "idle") {
          const start = chunk.indexOf(vt, at);
          noise += (start < 0 ? chunk.length : start) - at;
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
          if (piece.length > 0) parts.push(piece);
          size += piece.length;
          if (size > maxBytes) {
            parts = [];
            size = 0;
            return [...frames, { kind: "oversize" }];
          }
          if (restart >= 0) {
            frames.push(...broken("a start block inside an open frame"));
            at += restart + 1;
          } else {
            at = end < 0 ? chunk.length : end + 1;
            if (end >= 0) state = "ending";
          }
        }
      }
      return frames;
    },
    noise: () => noise,
    isOpen: () => state !== "idle",
    held: () => size,
    end: () => {
      state = "idle";
      return broken("the connection ended inside a frame");
    },
  };
}

/** A message in its frame. */
export const frameOf = (message: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.of(vt), message, Uint8Array.of(fs, cr)]);

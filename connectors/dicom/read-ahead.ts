/** The beginning of a body is read before it is asked for: disk and cipher work while a peer thinks about what came before. */

export type ReadAhead = AsyncIterable<Uint8Array> & {
  /** It will not be asked for: what it was reading from is closed. */
  drop(): Promise<void>;
};

/** Asks for the first piece at once; the rest as usual. A failure is thrown where the body is read. */
export function readAhead(body: AsyncIterable<Uint8Array>): ReadAhead {
  const pieces = body[Symbol.asyncIterator]();
  const first = pieces.next();
  first.catch(() => undefined);
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (let piece = await first; piece.done !== true; piece = await pieces.next()) yield piece.value;
      } finally {
        await pieces.return?.();
      }
    },
    drop: async () => {
      await first.catch(() => undefined);
      await pieces.return?.();
    },
  };
}

/** Where ciphertext waits until it is proven, so that a message needs no memory and clear text never rests. */

/** Takes a stream to its end; whoever gave the spool away empties it when the envelope is done with. */
export type Spool = {
  write(cipher: AsyncIterable<Uint8Array>): Promise<Spooled>;
};

/** What was written, from the start; asked for several times, one after the other. */
export type Spooled = { read(): AsyncIterable<Uint8Array> };

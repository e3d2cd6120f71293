/** Octets that have passed, on a terminal: what a person sees of a long seal or open. */

const everyMs = 200;
const mebibyte = 1 << 20;

/** Counts a stream; `total` octets are expected, or unknown. */
export async function* progress(
  source: AsyncIterable<Uint8Array>,
  what: string,
  total: number | undefined,
): AsyncGenerator<Uint8Array> {
  if (!process.stderr.isTTY) return yield* source;
  let done = 0;
  let told = Number.NEGATIVE_INFINITY;
  const started = performance.now();
  try {
    for await (const chunk of source) {
      done += chunk.length;
      const now = performance.now();
      if (now - told > everyMs) {
        told = now;
        const share = total
          ? ` of ${(total / mebibyte).toFixed(0)} MiB, ${((100 * done) / total).toFixed(0)} %`
          : " MiB";
        const rate = done / mebibyte / (Math.max(1, now - started) / 1000);
        process.stderr.write(`\r${what} ${(done / mebibyte).toFixed(0)}${share}, ${rate.toFixed(0)} MiB/s `);
      }
      yield chunk;
    }
  } finally {
    process.stderr.write("\r\u001b[K");
  }
}

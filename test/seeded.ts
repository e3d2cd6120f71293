/** Broken input from seeds, for fuzzers: the same seed breaks the same octets. FUZZ_SECONDS says how long; a failure prints its seed. */
import { Fault } from "../errors.ts";

export const fuzzSeconds = Number(process.env.FUZZ_SECONDS ?? (process.env.CI ? 30 : 6));
const slowMs = 5_000;

/** A number below what is asked for. */
export type Chance = (below: number) => number;

/** A small generator with a seed (mulberry32). */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** One to four changes: an octet that tells something to this reader, a piece away, doubled, or from elsewhere; or the end cut off. */
export function broken(bytes: Buffer, telling: readonly number[], random: Chance): Buffer {
  let changed = bytes;
  for (let count = 1 + random(4); count > 0 && changed.length > 0; count -= 1) {
    const at = random(2) === 0 ? random(changed.length) : random(Math.min(changed.length, 512));
    const [before, after] = [changed.subarray(0, at), changed.subarray(at)];
    const octet = Buffer.alloc(1 + random(4), telling[random(telling.length)] ?? 0);
    const from = random(changed.length);
    const ways = [
      () => [before, octet, after.subarray(1)],
      () => [before, octet, after],
      () => [before, after.subarray(1 + random(64))],
      () => [before, changed.subarray(from, from + random(2048)), after],
      () => [before, Buffer.of((after[0] ?? 0) ^ (1 << random(8))), after.subarray(1)],
      () => [before],
    ];
    changed = Buffer.concat(ways[random(ways.length)]?.() ?? []);
  }
  return changed;
}

/** Ends well or with a Fault that is no defect; anything else is thrown on. */
export async function typed(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    if (!(thrown instanceof Fault) || thrown.code === "UNEXPECTED") throw thrown;
  }
}

/** Runs the seeds that once found something, then new ones for a share of the time; how many it ran. */
export async function fuzz(target: (random: Chance) => unknown, kept: readonly number[], share = 1): Promise<number> {
  const end = performance.now() + fuzzSeconds * 1000 * share;
  const first = Math.floor(Math.random() * 2 ** 31);
  let runs = 0;
  for (let seed = first; runs < kept.length || performance.now() < end; seed += 1) {
    const used = kept[runs] ?? seed;
    const started = performance.now();
    try {
      await target(chanceOf(used));
    } catch (cause) {
      throw new Error(`seed ${used}: ${cause instanceof Error ? cause.stack : String(cause)}`, { cause });
    }
    if (performance.now() - started > slowMs) throw new Error(`seed ${used}: took over ${slowMs} ms`);
    runs += 1;
  }
  return runs;
}

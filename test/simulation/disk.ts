/** One file on a simulated disk: what is written is in the cache, what is synced is on the platter, and a power cut tears what is between. */
import type { JournalFile } from "../../store/journal-file.ts";
import type { Chance } from "../seeded.ts";

export type SimulatedFile = {
  /** The file as one life of the process sees it: every access asks `touch` first, every sync ends when `later` says. */
  open(touch: () => void, later: (work: () => void) => void): JournalFile;
  /** `kill`: the cache survives. `power`: of what was not synced any sectors are there or not, and so is the length. */
  crash(kind: "kill" | "power"): void;
  /** The next sync fails. */
  failSync(): void;
};

/** Sectors are written whole or not at all; frames of the journal are longer or shorter than one. */
const sectorSizes = [64, 512, 4096] as const;

export function openSimulatedFile(chance: Chance): SimulatedFile {
  const sector = sectorSizes[chance(sectorSizes.length)] ?? 512;
  let [cache, platter]: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)];
  let dirty = new Set<number>();
  let isFailing = false;

  const grown = (bytes: Buffer, size: number): Buffer => {
    const longer = Buffer.alloc(Math.max(bytes.length, size));
    bytes.copy(longer);
    return longer;
  };
  const touched = (from: number, to: number): void => {
    for (let n = Math.floor(from / sector); n * sector < to; n += 1) dirty.add(n);
  };
  const persist = (sectors: Iterable<number>, from: Buffer, size: number): void => {
    platter = grown(platter.subarray(0, size), size);
    for (const n of sectors)
      if (n * sector < size) platter.set(from.subarray(n * sector, Math.min((n + 1) * sector, size)), n * sector);
  };
  const failure = (): Error => Object.assign(new Error("input/output error"), { code: "EIO" });

  return {
    open: (touch, later) => ({
      name: "accept.journal",
      size: () => cache.length,
      read: (offset, length) => Buffer.from(cache.subarray(offset, offset + length)),
      write: (bytes, at) => {
        touch();
        if (at + bytes.length > cache.length) cache = grown(cache, at + bytes.length);
        cache.set(bytes, at);
        touched(at, at + bytes.length);
      },
      truncate: (size) => {
        touch();
        touched(size, cache.length);
        cache = Buffer.from(cache.subarray(0, size));
      },
      sync: () => {
        touch();
        const [image, sectors] = [Buffer.from(cache), [...dirty]];
        return new Promise((resolve, reject) =>
          later(() => {
            if (isFailing) {
              isFailing = false;
              return reject(failure());
            }
            persist(sectors, image, image.length);
            dirty = new Set([...dirty].filter((n) => !sectors.includes(n) || differs(n)));
            resolve();
          }),
        );
      },
      syncNow: () => {
        touch();
        persist(dirty, cache, cache.length);
        dirty = new Set();
      },
      close: () => undefined,
    }),
    crash: (kind) => {
      isFailing = false;
      if (kind === "kill") return;
      const kept = [...dirty].filter(() => chance(2) === 0);
      const least = Math.max(0, ...kept.map((n) => Math.min((n + 1) * sector, cache.length)));
      persist(
        kept,
        grown(cache, platter.length),
        chance(2) === 0 ? Math.max(cache.length, least) : Math.max(platter.length, least),
      );
      cache = Buffer.from(platter);
      dirty = new Set();
    },
    failSync: () => {
      isFailing = true;
    },
  };

  function differs(n: number): boolean {
    const [from, to] = [n * sector, (n + 1) * sector];
    return !cache.subarray(from, to).equals(platter.subarray(from, to));
  }
}

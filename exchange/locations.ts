/**
 * Answers that wait under a Location (decision 0015): of each, the sealed head as a file of its own; the bulk rests where it
 * rested. A head is ciphertext for whom it is sealed, and says nothing else of a patient.
 */
import { hash, randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, readSync, rmSync, statSync } from "node:fs";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { RawHeaders, Run } from "../envelope/index.ts";
import type { BlobName, Id } from "../store/store.ts";

/** Locations that one peer may hold; a further one ends its oldest. */
const maxPerPeer = 16;
/** Octets of all heads; beyond them an answer is sent at once. */
const maxBytes = 256 * 1024 * 1024;
/** As long as a line may be down overnight, and less than the envelope behind it counts. */
const lifeMs = 12 * 3600 * 1000;
const limits = { maxPerPeer, maxBytes, lifeMs };
const maxMetaBytes = 4096;
const tokenBytes = 16;
const beside = ".new";

/** What is handed out under a Location, as often as it is asked for. */
export type Held = {
  /** Of the envelope: other octets have another one. */
  readonly id: string;
  readonly record: Id;
  readonly headers: RawHeaders;
  readonly contentLength: number;
  readonly runs: readonly Run[];
  /** Blob of each `index` of the runs. */
  readonly blobs: readonly BlobName[];
};

export type Locations = {
  /** Resolves with the Location's 128 random bits once it is on stable storage; undefined where there is no room for it. */
  hold(peer: string, held: Held): Promise<string | undefined>;
  /** What this peer holds there; undefined for anybody else, and when its time is over. */
  find(peer: string, location: string): Promise<Held | undefined>;
};

type Meta = { readonly peer: string; readonly until: number; readonly bytes: number; readonly sha256: string };

/** Locations below this folder; those of before a restart are good to their end. `peer` is the SHA-256 of a TLS certificate. */
export function openLocations(folder: string, now: () => Date, { maxPerPeer, maxBytes, lifeMs } = limits): Locations {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const known = new Map<string, Meta>();
  const forget = (file: string): void => {
    known.delete(file);
    rmSync(join(folder, file), { force: true });
  };
  const sweep = (): void => {
    for (const [file, { until }] of known) if (until <= now().getTime()) forget(file);
  };
  for (const file of readdirSync(folder)) {
    const meta = file.endsWith(beside) ? undefined : metaOf(join(folder, file));
    if (meta) known.set(file, meta);
    else forget(file);
  }
  return {
    hold: async (peer, held) => {
      sweep();
      const packed = pack(held);
      const used = known.values().reduce((sum, { bytes }) => sum + bytes, 0);
      if (used + packed.length > maxBytes) return undefined;
      const own = [...known]
        .filter(([, meta]) => meta.peer === peer)
        .sort(([, one], [, other]) => one.until - other.until);
      for (const [file] of own.slice(0, Math.max(0, own.length + 1 - maxPerPeer))) forget(file);
      const location = randomBytes(tokenBytes).toString("hex");
      const file = fileOf(peer, location);
      const meta = { peer, until: now().getTime() + lifeMs, bytes: packed.length, sha256: sha256(packed) };
      known.set(file, meta);
      try {
        await writeSynced(folder, file, [Buffer.from(`${JSON.stringify(meta)}\n`), packed]);
      } catch {
        forget(file);
        return undefined;
      }
      return location;
    },
    find: async (peer, location) => {
      sweep();
      const file = fileOf(peer, location);
      const meta = known.get(file);
      if (!meta) return undefined;
      const bytes = await readFile(join(folder, file)).catch(() => Buffer.alloc(0));
      const packed = bytes.subarray(bytes.indexOf("\n") + 1);
      // A head that has changed on the disk opens nowhere: who asks anew gets another.
      if (sha256(packed) === meta.sha256) return unpack(packed);
      forget(file);
      return undefined;
    },
  };
}

const sha256 = (bytes: string | Uint8Array): string => hash("sha256", bytes);

/** Nobody who reads the folder learns a Location, and another peer's file is not found: both name it. */
const fileOf = (peer: string, location: string): string => sha256(`${peer}\0${location}`);

/** Undefined for what a crash left half written. */
function metaOf(path: string): Meta | undefined {
  const descriptor = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(maxMetaBytes);
    const head = buffer.subarray(0, readSync(descriptor, buffer)).toString("latin1");
    const meta = JSON.parse(head.slice(0, head.indexOf("\n"))) as Meta;
    const isWhole = statSync(path).size === head.indexOf("\n") + 1 + meta.bytes;
    return isWhole && typeof meta.until === "number" ? meta : undefined;
  } catch {
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

/** Runs of octets by their lengths, and one behind the other after the line. */
function pack({ runs, ...held }: Held): Buffer {
  const lengths = runs.map((run) => ("octets" in run ? run.octets.length : run));
  const octets = runs.flatMap((run) => ("octets" in run ? [run.octets] : []));
  return Buffer.concat([Buffer.from(`${JSON.stringify({ ...held, lengths })}\n`), ...octets]);
}

function unpack(packed: Buffer): Held {
  const end = packed.indexOf("\n");
  type Packed = Omit<Held, "runs"> & { readonly lengths: readonly (number | Exclude<Run, { octets: Uint8Array }>)[] };
  const { lengths, ...held } = JSON.parse(packed.toString("utf8", 0, end)) as Packed;
  let at = end + 1;
  const runs = lengths.map((length): Run => {
    if (typeof length !== "number") return length;
    at += length;
    return { octets: packed.subarray(at - length, at) };
  });
  return { ...held, runs };
}

/** Whole or not at all, also after a power cut. */
async function writeSynced(folder: string, name: string, pieces: readonly Uint8Array[]): Promise<void> {
  const path = join(folder, `${name}${beside}`);
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(pieces);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(path, join(folder, name));
  const parent = await open(folder, "r");
  await parent.sync().finally(() => parent.close());
}

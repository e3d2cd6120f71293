/**
 * Signed manifests and receipts as they are kept: of one house they differ in a few digests, so each is kept as what it has beside
 * a pattern (raw deflate with a preset dictionary, RFC 1951 and zlib's `deflateSetDictionary`), and opens octet for octet
 * (decision 20). Nothing of a patient is in them, and no secret: their length tells nobody anything. Facts and bodies are kept as
 * they come.
 *
 * A pattern is the runs of octets that some values of its kind share, so that it holds no digest or name of one record, whose
 * manifest retention takes away. A new one is made every month: certificates change.
 *
 * A receipt of several records is kept once, under its digest.
 *
 * A packed value: ff · u32 number of its pattern (0: none; ffffffff: as it came; fffffffe: kept once) · octets, or their name. No
 * manifest and no CMS begins with ff: whatever else is what was kept before there were patterns.
 */
import { hash } from "node:crypto";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { Fault } from "../errors.ts";
import type { StorageKeys } from "./keys.ts";
import { change, type Database } from "./sqlite.ts";
import type { Change } from "./store.ts";

export type Packed = {
  readonly octets: Uint8Array;
  /** To be committed with the value: what it taught. */
  readonly changes: readonly Change[];
};
export type Patterns = {
  /** `kind`: what is alike, which is one thing of one house. */
  pack(kind: string, value: Uint8Array): Packed;
  /** The same of one that other rows have, too. */
  packOnce(kind: string, value: Uint8Array): Packed;
  /** STORE_DAMAGED where the pattern is gone or another one. */
  unpack(octets: Uint8Array): Uint8Array;
};

const mark = 0xff;
const headBytes = 5;
const none = 0;
const asItCame = 0xffffffff;
const keptOnce = 0xfffffffe;
/** Longer ones name many images, whose digests have nothing in common with anything. */
const maxPackedBytes = 64 * 1024;
const maxPatternBytes = 16 * 1024;
/** What so many values in a row share is of none of them. */
const taughtBy = 4;
/** No digest shares as much with another one by chance. */
const leastRun = 12;
/** 17 µs a value. A smaller table of hashes than usual, since it is cleared for each; pieces that are no memory of their own. */
const tuning = { memLevel: 5, level: 9, chunkSize: 2048 } as const;
const monthDigits = "YYYY-MM".length;

type Pattern = { readonly n: number; readonly month: string; readonly octets: Buffer };

export function openPatterns(db: Pick<Database, "get">, keys: StorageKeys, now: () => Date): Patterns {
  const newest = new Map<string, Pattern>();
  const known = new Map<number, Buffer>();
  const learning = new Map<string, readonly Uint8Array[]>();
  /** A receipt is kept beside its record and by its message: what is packed names its pattern and does for both. */
  const packed = new WeakMap<Uint8Array, Uint8Array>();

  /** The newest of a kind, which is looked for until there is one of this month. */
  const patternOf = (kind: string, month: string): Pattern | undefined => {
    const before = newest.get(kind);
    if (before && before.month >= month) return before;
    const row = db.get("SELECT n, month FROM pattern WHERE kind = ? ORDER BY month DESC LIMIT 1", kind);
    if (!row) return undefined;
    const pattern = { n: Number(row.n), month: String(row.month), octets: octetsOf(Number(row.n)) };
    newest.set(kind, pattern);
    return pattern;
  };
  const octetsOf = (n: number): Buffer => {
    const before = known.get(n);
    if (before) return before;
    const row = db.get("SELECT kind, month, octets FROM pattern WHERE n = ?", n);
    if (!row) throw damaged(`pattern ${n} of its receipts is missing`);
    const octets = Buffer.from(keys.open(patternPlace(String(row.kind), String(row.month)), row.octets as Uint8Array));
    known.set(n, octets);
    return octets;
  };
  const learn = (kind: string, month: string, value: Uint8Array): readonly Change[] => {
    const before = learning.get(kind) ?? [];
    // A copy would teach that its digests recur.
    if (value.length > maxPatternBytes || before.some((each) => Buffer.compare(each, value) === 0)) return [];
    const values = [...before, value];
    learning.set(kind, values.length < taughtBy ? values : []);
    if (values.length < taughtBy) return [];
    const octets = keys.seal(patternPlace(kind, month), values.reduce(shared));
    return [
      change("INSERT INTO pattern (kind, month, octets) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", kind, month, octets),
    ];
  };

  const pack = (kind: string, value: Uint8Array): Packed => {
    const before = packed.get(value);
    if (before) return { octets: before, changes: [] };
    const made = packAnew(kind, value);
    packed.set(value, made.octets);
    return made;
  };
  const packAnew = (kind: string, value: Uint8Array): Packed => {
    if (value.length > maxPackedBytes) return { octets: withHead(asItCame, value), changes: [] };
    const month = now().toISOString().slice(0, monthDigits);
    const pattern = patternOf(kind, month);
    const changes = pattern && pattern.month >= month ? [] : learn(kind, month, value);
    const dictionary = pattern?.octets ?? nothing;
    const shorter = deflateRawSync(value, dictionary.length > 0 ? { ...tuning, dictionary } : tuning);
    return { octets: withHead(pattern?.n ?? none, shorter), changes };
  };
  const keepOnce = (kind: string, value: Uint8Array): Packed => {
    const name = hash("sha256", value);
    const { octets, changes } = pack(kind, value);
    const sealed = keys.seal(keptOncePlace(name), octets);
    const insert = change("INSERT INTO kept_once (name, octets) VALUES (?, ?) ON CONFLICT DO NOTHING", name, sealed);
    return { octets: withHead(keptOnce, Buffer.from(name, "hex")), changes: [...changes, insert] };
  };
  const unpack = (octets: Uint8Array): Uint8Array => {
    if (octets[0] !== mark) return octets;
    if (octets.length < headBytes) throw damaged("a packed value is cut short");
    const [n, rest] = [Buffer.from(octets).readUInt32BE(1), octets.subarray(headBytes)];
    if (n === asItCame) return rest;
    if (n === keptOnce) {
      const name = Buffer.from(rest).toString("hex");
      const row = db.get("SELECT octets FROM kept_once WHERE name = ?", name);
      if (!row) throw damaged(`receipt ${name.slice(0, 8)}, which is of several records, is missing`);
      return unpack(keys.open(keptOncePlace(name), row.octets as Uint8Array));
    }
    const dictionary = n === none ? nothing : octetsOf(n);
    try {
      const limit = { maxOutputLength: maxPackedBytes, chunkSize: 2048 };
      return inflateRawSync(rest, dictionary.length > 0 ? { ...limit, dictionary } : limit);
    } catch (cause) {
      throw damaged("a packed value does not unpack", cause);
    }
  };
  const once = new WeakMap<Uint8Array, Packed>();
  return {
    pack,
    unpack,
    packOnce: (kind, value) => {
      const packed = once.get(value) ?? keepOnce(kind, value);
      once.set(value, packed);
      return packed;
    },
  };
}

const nothing = Buffer.alloc(0);

/** Where a pattern is sealed, and a value that is kept once. */
export const patternPlace = (kind: string, month: string): string => ["pattern", kind, month].join("\0");
export const keptOncePlace = (name: string): string => ["kept_once", name].join("\0");

function withHead(n: number, octets: Uint8Array): Buffer {
  const head = Buffer.alloc(headBytes, mark);
  head.writeUInt32BE(n, 1);
  return Buffer.concat([head, octets]);
}

/** Runs of the first that the second has, too. */
function shared(first: Uint8Array, second: Uint8Array): Uint8Array {
  const other = Buffer.from(second);
  const runs: Uint8Array[] = [];
  for (let at = 0; at + leastRun <= first.length; ) {
    const found = other.indexOf(first.subarray(at, at + leastRun));
    let length = found < 0 ? 0 : leastRun;
    while (length > 0 && at + length < first.length && first[at + length] === other[found + length]) length += 1;
    if (length > 0) runs.push(first.subarray(at, at + length));
    at += length || 1;
  }
  return Buffer.concat(runs);
}

const damaged = (what: string, cause?: unknown): Fault =>
  new Fault("STORE_DAMAGED", `${what}; restore the data folder from a backup`, { cause });

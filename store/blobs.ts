/** Sealed bodies: small ones inline with their index row, larger ones as files named by a keyed digest. */
import { closeSync, fstatSync, mkdirSync, open, read, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Fault } from "../errors.ts";
import { handOver } from "../memory.ts";
import { openBlankFiles, pathOf } from "./blank-files.ts";
import { openSpool } from "./blob-file.ts";
import { isSizeOf } from "./direct.ts";
import { hasFailed } from "./disk-errors.ts";
import type { StorageKeys } from "./keys.ts";
import { change, type Database, insert, type Row } from "./sqlite.ts";
import type { BlobFacts, BlobName, Blobs, Change } from "./store.ts";

const readBytes = 256 * 1024;
// A descriptor in place of a file handle: two turns of the thread pool a small file, not five.
const disk = { open: promisify(open), read: promisify(read) } as const;
const sweepLimit = 10_000_000;
const cekBytes = 32;
/** Asked only of a blob that is damaged: it goes through every row. */
const usedBySql = `
  SELECT 'arrival' AS kind, id, control_id FROM arrival WHERE blob = ?1
  UNION ALL SELECT 'item', item.id, arrival.control_id FROM item JOIN arrival ON arrival.id = item.arrival WHERE item.blob = ?1
  UNION ALL SELECT 'record', id, '' FROM record WHERE EXISTS (SELECT 1 FROM json_each(parts) WHERE value ->> 'blob' = ?1)
  LIMIT 100`;

/** Blobs under `folder/blobs`; files without a row (unused ones, and those of a crash before the commit) are swept now. */
export function openBlobs(
  folder: string,
  db: Database,
  keys: StorageKeys,
): Blobs & {
  /** Of these, which are committed, the files that no row names go: others have put the same octets first. */
  tidy(committed: readonly Change[]): void;
  close(): void;
} {
  const root = join(folder, "blobs");
  mkdirSync(root, { recursive: true, mode: 0o700 });
  sweep(root, db);
  const blanks = openBlankFiles(root);
  const dropped: string[] = [];
  const placed = new WeakMap<Change, { readonly name: BlobName; readonly file: string }>();
  const spool = openSpool(blanks, () => !Number.isNaN(db.version()));
  const has = (name: BlobName): boolean => db.get("SELECT 1 FROM blob WHERE name = ?", name) !== undefined;
  const row = (name: BlobName, columns = "*"): Row => {
    const found = db.get(`SELECT ${columns} FROM blob WHERE name = ?`, name);
    if (!found)
      throw new Fault(
        "STORE_DAMAGED",
        `blob ${name.slice(0, 8)} is not in the index; restore the data folder from a backup`,
      );
    return found;
  };

  /** A file that could not be written ends the house as a commit does that could not. */
  const failing = (thrown: unknown): never => {
    if (isOfDisk(thrown))
      db.fail(new Fault("STORE_DAMAGED", "the disk failed; check it and restart the site", { cause: thrown }));
    throw thrown;
  };

  const take: Blobs["take"] = async (cipher, facts, isNew = () => false) => {
    const spooled = await spool(cipher).catch(failing);
    try {
      const sealed = facts();
      const digest = sealed.sha256 ?? sealed.root ?? "";
      const name = keys.blobName(sealed.sha256 === null ? "segments" : "whole", digest);
      // An inline one is left to its insert: to look would cost more than the row that is then not written.
      const isKnown = !isNew() && spooled.inline === null && has(name);
      if (isKnown) {
        await spooled.drop();
        const known = { name, digest, fresh: false, change: change(usedAgainSql, name), drop: nothingToDrop };
        return { name, digest, durable: async () => known, drop: nothingToDrop };
      }
      // Two copies at once are two ciphertexts, each in its own file: the row decides which is kept.
      const { file, written } = await spooled.keep();
      // Told at once, whoever waits for it: a sync that failed may seem to succeed the second time.
      written.catch(failing).catch(() => undefined);
      const drop = async (): Promise<void> => {
        await written.catch(() => undefined);
        if (file !== null) rmSync(pathOf(root, file), { force: true });
      };
      const staged = { name, digest, fresh: true, change: insertBlob(name, sealed, keys, spooled.inline, file), drop };
      if (file !== null) placed.set(staged.change, { name, file });
      return { name, digest, durable: async () => await written.then(() => staged), drop };
    } catch (thrown) {
      await spooled.drop();
      return failing(thrown);
    }
  };

  return {
    take,
    put: async (cipher, facts) => await (await take(cipher, facts)).durable(),
    own: (name, cipher, facts) => ({
      name,
      digest: facts.sha256 ?? facts.root ?? "",
      fresh: true,
      change: insertBlob(name, facts, keys, cipher, null),
      drop: nothingToDrop,
    }),
    facts: (name) => factsOf(row(name, factColumns), keys),
    read: (name, from = 0) => {
      const found = row(name);
      const inline = found.inline as Uint8Array | null;
      if (inline) return once(inline.subarray(from));
      return readFile(pathOf(root, String(found.file)), { from, size: Number(found.size) }, name);
    },
    drop: (name) => {
      const file = db.get("SELECT file FROM blob WHERE name = ?", name)?.file;
      if (typeof file === "string") dropped.push(file);
      return change("DELETE FROM blob WHERE name = ?", name);
    },
    dropped: () => dropped.splice(0),
    has,
    names: (after, limit) =>
      db
        .all("SELECT name FROM blob WHERE name > ? ORDER BY name LIMIT +?", after, limit)
        .map((row) => String(row.name)),
    usedBy: (name) =>
      db.all(usedBySql, name).map((row) => ({
        kind: String(row.kind) as "arrival" | "item" | "record",
        id: String(row.id),
        controlId: String(row.control_id),
      })),
    tidy: (committed) => {
      try {
        for (const own of committed.map((each) => placed.get(each)))
          if (own && db.get("SELECT file FROM blob WHERE name = ?", own.name)?.file !== own.file)
            rmSync(pathOf(root, own.file), { force: true });
      } catch {
        // It is committed, whatever else fails; what stays goes with the next sweep.
      }
    },
    close: blanks.close,
  };
}

/** A write that the disk refused, in itself or as the cause of a fault; what a body is read from may fail by itself. */
function isOfDisk(thrown: unknown): boolean {
  const cause = (thrown instanceof Fault ? (thrown.cause ?? {}) : thrown) as NodeJS.ErrnoException;
  return hasFailed(cause) && cause.syscall !== "read";
}

/** Tells retention that the row is needed; fails where it has gone meanwhile, since none of its columns may be null. */
const usedAgainSql = `INSERT INTO blob SELECT blob.* FROM (SELECT 1) LEFT JOIN blob ON name = ? WHERE true
  ON CONFLICT (name) DO UPDATE SET size = excluded.size`;

function insertBlob(
  name: BlobName,
  facts: BlobFacts,
  keys: StorageKeys,
  inline: Uint8Array | null,
  file: string | null,
) {
  const { size, sha256, segs, root, cek, nonce, tag } = facts;
  // Digests of clear text would confirm to a thief what the blob holds: sealed, and its key with them.
  const digests = keys.seal(
    `blob\0${name}\0key`,
    Buffer.concat([cek, Buffer.from(sha256 ?? root ?? "", "hex"), segs ?? nothing]),
  );
  const form = sha256 === null ? "segments" : "whole";
  const row = { name, form, size, digests, cek: nothing, nonce, tag, inline, file };
  return insert("blob", row, " ON CONFLICT (name) DO UPDATE SET size = excluded.size");
}

const nothing = new Uint8Array();
const nothingToDrop = async (): Promise<void> => undefined;

/** Without the ciphertext, which an inline blob has in the same row. */
const factColumns = "name, form, size, digests, cek, nonce, tag";

function factsOf(row: Row, keys: StorageKeys): BlobFacts {
  const wrapped = row.cek as Uint8Array;
  // Rows of before have their key wrapped beside their digests.
  const [cek, digests] =
    wrapped.length > 0
      ? [keys.unwrap(wrapped), keys.open(`blob\0${String(row.name)}\0digests`, row.digests as Uint8Array)]
      : splitAt(keys.open(`blob\0${String(row.name)}\0key`, row.digests as Uint8Array), cekBytes);
  const digest = Buffer.from(digests.subarray(0, 32)).toString("hex");
  const isWhole = row.form === "whole";
  return {
    size: Number(row.size),
    sha256: isWhole ? digest : null,
    segs: isWhole ? null : digests.subarray(32),
    root: isWhole ? null : digest,
    cek,
    nonce: row.nonce as Uint8Array,
    tag: row.tag as Uint8Array,
  };
}

const splitAt = (bytes: Uint8Array, at: number): readonly [Uint8Array, Uint8Array] => [
  bytes.subarray(0, at),
  bytes.subarray(at),
];

async function* readFile(
  path: string,
  { from, size }: { readonly from: number; readonly size: number },
  name: BlobName,
): AsyncGenerator<Uint8Array> {
  const damaged = (what: string) =>
    new Fault("STORE_DAMAGED", `blob ${name.slice(0, 8)} is ${what}; restore the data folder from a backup`);
  const descriptor = await disk.open(path, "r").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") throw damaged("missing");
    if (hasFailed(cause)) throw damaged("unreadable");
    // A house that has no descriptor left has one soon.
    const told = `blob ${name.slice(0, 8)} cannot be opened (${cause.code}); where that goes on, raise LimitNOFILE`;
    throw new Fault("UNEXPECTED", told, { cause });
  });
  try {
    if (!isSizeOf(fstatSync(descriptor).size, size)) throw damaged("of another size than its index row says");
    for (let at = from; at < size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(readBytes, size - at));
      const { bytesRead } = await disk.read(descriptor, buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw damaged("shorter than its index row says");
      at += bytesRead;
      yield handOver(buffer.subarray(0, bytesRead));
    }
  } finally {
    closeSync(descriptor);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function sweep(root: string, db: Database): void {
  let swept = 0;
  for (const folder of readdirSync(root, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue;
    for (const file of readdirSync(join(root, folder.name))) {
      const isIndexed = db.get("SELECT 1 FROM blob WHERE file = ?", file);
      if (!isIndexed && swept < sweepLimit) rmSync(join(root, folder.name, file), { force: true });
      swept += 1;
    }
  }
}

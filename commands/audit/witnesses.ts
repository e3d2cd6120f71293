/**
 * What others hold of this site's audit log: heads as `semrs audit heads` writes them, receipts that the site has signed, as
 * `semrs evidence export` writes them, and its checkpoints. Only what it has signed itself, or a partner says, is a witness.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { z } from "zod";
import { pemToDer } from "../../envelope/certificate.ts";
import { readCheckpoint, readReceipt } from "../../envelope/index.ts";
import { isOwnSignature, type Signature } from "../../envelope/own-signature.ts";
import { codeOf, Fault, reasonOf } from "../../errors.ts";
import type { Config } from "../../pipeline/config.ts";
import type { GivenReceipt } from "../../store/audit-check.ts";
import type { SignedHead } from "../../store/signed-heads.ts";
import type { WitnessedHead } from "../../store/store.ts";

const maxFileBytes = 64 * 1024 * 1024;
const maxFiles = 100_000;

/** What `heads` writes: heads of one site's log that another one holds. */
export const heldFile = z.strictObject({
  of: z.string().min(1).max(256),
  by: z.string().min(1).max(256),
  heads: z
    .array(
      z.strictObject({
        seq: z.int().min(0),
        head: z.string().regex(/^[0-9a-f]{64}$/),
        at: z.string().max(64).optional(),
      }),
    )
    .max(1_000_000),
});

/** `receipts`: messages of houses that the site has signed to have. */
export type Witnesses = {
  readonly heads: readonly WitnessedHead[];
  readonly receipts: readonly GivenReceipt[];
};
const none: Witnesses = { heads: [], receipts: [] };

/** Of a file, or of every file in a folder and those in it. Witnesses that say nothing of this site are an error. */
export function witnessesIn(path: string, config: Config): Witnesses {
  const isOurs = oursIn(config);
  const { files, isFolder } = filesAt(path);
  const found = files.map((file) => readers[extname(file)]?.(file, { site: config.site, isOurs, isFolder }) ?? none);
  const heads = found.flatMap((each) => each.heads);
  if (heads.length > 0) return { heads, receipts: found.flatMap(({ receipts }) => receipts) };
  throw new Fault(
    "CONFIG_INVALID",
    `${path} holds no head of ${config.site}; have partners write semrs audit heads --partner ${config.site}`,
  );
}

/** The checkpoints that a site keeps itself, as witnesses; the first that is not its own says so. */
export function ownCheckpoints(
  kept: readonly SignedHead[],
  config: Config,
): {
  readonly heads: readonly WitnessedHead[];
  readonly broken: { readonly seq: number; readonly reason: string } | null;
} {
  const isOurs = oursIn(config);
  const heads: WitnessedHead[] = [];
  for (const { seq, signed } of kept) {
    const by = "its checkpoint";
    try {
      const { checkpoint, ...signature } = readCheckpoint(signed);
      if (checkpoint.org !== config.site || checkpoint.seq !== seq || !isOurs(signature))
        throw new Fault("ENVELOPE_NOT_OPENED", "checkpoint: not signed by this site");
      heads.push({ seq, head: checkpoint.head, by: `${by} of ${checkpoint.at}` });
    } catch (thrown) {
      if (codeOf(thrown) === "UNEXPECTED") throw thrown;
      return { heads, broken: { seq, reason: `has a checkpoint that does not hold (${reasonOf(thrown)})` } };
    }
  }
  return { heads, broken: null };
}

type Reading = { readonly site: string; readonly isFolder: boolean; isOurs(signature: Signature): boolean };
type Reader = (file: string, reading: Reading) => Witnesses;

/** The site's signing certificate, or one before it: of the same name, from an authority that is trusted. */
function oursIn(config: Config): Reading["isOurs"] {
  const text = (file: string): string => octetsOf(file).toString("latin1");
  const own = pemToDer(text(join(config.own.keys, "sign.crt")));
  const anchors = config.trust.anchors.flatMap((file) => pemToDer(text(file)));
  return (signature) => isOwnSignature(own, anchors, signature);
}

const readers: Readonly<Record<string, Reader>> = { ".json": readHeads, ".p7m": readSigned, ".p7s": readSigned };

function readHeads(file: string, { site, isFolder }: Reading): Witnesses {
  let said: unknown;
  try {
    said = JSON.parse(octetsOf(file).toString("utf8"));
    // A folder of evidence has other files beside.
    if (isFolder && !Object.hasOwn((said ?? {}) as object, "heads")) return none;
    const { of, by, heads } = heldFile.parse(said);
    return of === site ? { heads: heads.map(({ seq, head }) => ({ seq, head, by })), receipts: [] } : none;
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} is not what semrs audit heads writes`, { cause });
  }
}

/** A receipt or a checkpoint of this site; any other signature is somebody else's matter. */
function readSigned(file: string, { site, isOurs }: Reading): Witnesses {
  const bytes = octetsOf(file);
  for (const read of [receiptIn, checkpointIn]) {
    const found = read(bytes, site, isOurs);
    if (found) return found;
  }
  return none;
}

function receiptIn(bytes: Uint8Array, site: string, isOurs: Reading["isOurs"]): Witnesses | undefined {
  try {
    const { receipt, ...signature } = readReceipt(bytes);
    const { from, to, log, receivedAt, verdict } = receipt;
    if (from !== site || !log || !isOurs(signature)) return undefined;
    const by = `a receipt that ${to} has of ${receivedAt}`;
    return { heads: [{ ...log, by }], receipts: verdict === "stored" && to !== site ? [receipt] : [] };
  } catch (thrown) {
    return notOne(thrown);
  }
}

function checkpointIn(bytes: Uint8Array, site: string, isOurs: Reading["isOurs"]): Witnesses | undefined {
  try {
    const { checkpoint, ...signature } = readCheckpoint(bytes);
    if (checkpoint.org !== site || !isOurs(signature)) return undefined;
    const { seq, head, at } = checkpoint;
    return { heads: [{ seq, head, by: `a checkpoint of ${at}` }], receipts: [] };
  } catch (thrown) {
    return notOne(thrown);
  }
}

function notOne(thrown: unknown): undefined {
  if (!(thrown instanceof Fault)) throw thrown;
  return undefined;
}

function filesAt(path: string): { readonly files: readonly string[]; readonly isFolder: boolean } {
  try {
    if (!statSync(path).isDirectory()) return { files: [path], isFolder: false };
    const names = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => extname(name) in readers);
    if (names.length > maxFiles) throw new Fault("TOO_LARGE", `${path} holds over ${maxFiles} files`);
    return { files: names.map((name) => join(path, name)), isFolder: true };
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault("CONFIG_INVALID", `${path} cannot be read; name a file or a folder`, { cause });
  }
}

function octetsOf(file: string): Buffer {
  try {
    if (statSync(file).size > maxFileBytes) throw new Error("too large");
    return readFileSync(file);
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} cannot be read`, { cause });
  }
}

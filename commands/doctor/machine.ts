/** What only the machine itself can tell: whether a sync reaches the disk and how fast, free space, clocks, what the store holds. */
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { reasonOf } from "../../errors.ts";
import type { Config } from "../../pipeline/config.ts";
import type { Keys } from "../../pipeline/identity.ts";
import type { Check } from "../../pipeline/readiness.ts";
import { emptyHead } from "../../store/accept-journal.ts";
import { reconcile } from "../../store/reconcile.ts";
import { isOutOfFiles } from "../../store/reserve.ts";
import { getFrom } from "../partner-get.ts";

/** A row of the doctor: a check, and what to do where it does not pass. */
export type Diagnosis = Check & { readonly next?: string };

const syncs = 32;
const syncBytes = 4096;
const slowMs = 20;
/** statfs(2) of file systems in memory: tmpfs, ramfs. */
const inMemory: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** The median of some syncs in the data folder; every acknowledgement waits for one, shared with those beside it. */
export function syncOf({ own: { data } }: Config): Diagnosis {
  const check = "fsync";
  const path = join(data, `doctor.${process.pid}`);
  try {
    const file = openSync(path, "wx", 0o600);
    const took: number[] = [];
    try {
      for (let n = 0; n < syncs; n += 1) {
        writeSync(file, Buffer.alloc(syncBytes, n));
        const started = performance.now();
        fdatasyncSync(file);
        took.push(performance.now() - started);
      }
    } finally {
      closeSync(file);
      rmSync(path);
    }
    const median = took.sort((one, other) => one - other)[syncs / 2] ?? 0;
    const says = `${median.toFixed(1)} ms (median of ${syncs})`;
    if (inMemory.has(statfsSync(data).type))
      return {
        check,
        state: "fail",
        says: "the data folder is in memory",
        next: "Put data on a disk: what is acknowledged must outlive power.",
      };
    if (median > slowMs)
      return {
        check,
        state: "warn",
        says,
        next: "A disk this slow bounds what can be acknowledged; use an SSD, or a controller with a protected cache.",
      };
    return { check, state: "pass", says };
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return {
      check,
      state: "fail",
      says: code === undefined ? reasonOf(thrown) : `the data folder takes no file (${code})`,
      next: "Every acknowledgement waits for a sync: check the disk.",
    };
  }
}

const ample = 4;

export function spaceOf({ own: { data, disk } }: Config): Diagnosis {
  const check = "disk";
  const { bavail, bsize } = statfsSync(data);
  const free = bavail * bsize;
  const mebibytes = (bytes: number): number => Math.floor(bytes / 1024 / 1024);
  const says = `${mebibytes(free)} MiB free, ${mebibytes(disk.minFree)} MiB in reserve`;
  const next = "Free space, or move the data folder.";
  if (free < disk.minFree) return { check, state: "fail", says: `${says}: nothing would be accepted`, next };
  if (isOutOfFiles(data))
    return {
      check,
      state: "fail",
      says: `${says}, but no inodes (df -i)`,
      next: "Remove files, or move the data folder.",
    };
  if (free < disk.minFree * ample + disk.ballast) return { check, state: "warn", says, next };
  return { check, state: "pass", says };
}

/** Beside connections: the store, workers, files that are read and written, connections to others. */
const otherDescriptors = 256;

/** What the running site, or else this shell, may open (proc(5), limits). */
export function descriptorsOf({ own: { data, limits } }: Config): readonly Diagnosis[] {
  const check = "descriptors";
  const lock = join(data, "semrs.lock");
  const owner = existsSync(lock) ? (readFileSync(lock, "utf8").split(" ")[0] ?? "") : "";
  const file = [`/proc/${owner}/limits`, "/proc/self/limits"].find((path) => existsSync(path));
  const [, soft = ""] = /^Max open files\s+(\d+|unlimited)/m.exec(file ? readFileSync(file, "utf8") : "") ?? [];
  if (soft === "") return [];
  const wanted = limits.connections + otherDescriptors;
  const says = `${soft} may be open, ${limits.connections} connections are allowed`;
  if (soft === "unlimited" || Number(soft) >= wanted) return [{ check, state: "pass", says }];
  return [{ check, state: "warn", says, next: `LimitNOFILE of at least ${wanted}, or fewer limits.connections.` }];
}

const skewWarnMs = 60_000;
/** What envelopes are allowed (SPEC.md, "Verification order"). */
const skewFailMs = 5 * 60_000;

/** Each partner's clock against ours, from the Date of its answer (to a second). */
export async function clocksOf(config: Config, { tls, identity }: Keys): Promise<readonly Diagnosis[]> {
  const others = Object.entries(config.partners).filter(([name]) => name !== config.site);
  return await Promise.all(
    others.map(async ([name, { url }]): Promise<Diagnosis> => {
      const check = `clock of ${name}`;
      const answered = await dateAt(url, tls, identity.partners.get(name)?.tls).catch(() => undefined);
      if (!answered) return { check, state: "warn", says: "cannot be asked", next: "See the line of this peer." };
      const skew = answered.theirs - answered.ours;
      const says = `${Math.abs(skew) < 2000 ? "equal" : `${Math.round(Math.abs(skew) / 1000)} s ${skew > 0 ? "ahead of" : "behind"} ours`}`;
      const next = "Set the clock that is wrong (NTP): over five minutes nothing is opened any more.";
      if (Math.abs(skew) > skewFailMs) return { check, state: "fail", says, code: "CLOCK_BEHIND", next };
      return Math.abs(skew) > skewWarnMs ? { check, state: "warn", says, next } : { check, state: "pass", says };
    }),
  );
}

/** The header is cut to the second before. */
async function dateAt(url: string, tls: Keys["tls"], pinned: string | undefined) {
  const started = Date.now();
  const { headers } = await getFrom(url, "/semrs/v1/health/live", tls, { pinned, maxBytes: maxHealthBytes });
  const theirs = Date.parse(String(headers.date));
  return Number.isNaN(theirs) ? undefined : { theirs: theirs + 500, ours: (started + Date.now()) / 2 };
}
const maxHealthBytes = 64 * 1024;

/** The accept journal from the first line on, each in the index, and all that was accepted accounted for; a running site is not disturbed. */
export async function storeOf({ own: { data, channels } }: Config): Promise<Diagnosis> {
  const check = "store";
  const [database, journal] = [join(data, "semrs.db"), join(data, "accept.journal")];
  if (!existsSync(database)) return { check, state: "pass", says: "none yet; the first start makes it" };
  const next = "semrs verify names what is damaged; then restore a backup.";
  try {
    const outbound = channels.filter(({ kind }) => kind === "outbound").map(({ name }) => name);
    const found = await reconcile({ database, journal, from: emptyHead, outbound });
    const lost =
      found.missing.length + found.late.length + found.channels.reduce((sum, channel) => sum + channel.lost, 0);
    const accepted = found.channels.reduce((sum, channel) => sum + channel.accepted, 0);
    if (lost > 0)
      return { check, state: "fail", says: `${lost} accepted and nowhere to be found`, code: "STORE_DAMAGED", next };
    return {
      check,
      state: "pass",
      says: `${found.acknowledged} in the accept journal, ${accepted} accepted, all accounted for`,
    };
  } catch (thrown) {
    return { check, state: "fail", says: reasonOf(thrown), code: "STORE_DAMAGED", next };
  }
}

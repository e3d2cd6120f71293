/** `semrs audit verify` and `heads`: the chain of the own log, and what is held of partners' logs. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { Fault } from "../../errors.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { checkAudit, headsHeld } from "../../store/audit-check.ts";
import type { WitnessedHead } from "../../store/store.ts";
import { exits, print, say } from "../exit.ts";

export type VerifyFlags = { readonly config: string; readonly json?: boolean; readonly witness?: string };
export type HeadsFlags = { readonly config: string; readonly partner: string };

const maxFileBytes = 64 * 1024 * 1024;
const maxFiles = 1000;

/** What `heads` writes and `verify --witness` reads: heads of one site's log that another one holds. */
const heldFile = z.strictObject({
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

/** Tells the first entry that does not hold; exit 1 when there is one. */
export function verifyAudit({ config: file, json, witness }: VerifyFlags): void {
  const { own, site } = loadConfig(file, process.env);
  const witnesses = witness === undefined ? [] : witnessesIn(witness, site);
  const { entries, head, witnessed, broken } = checkAudit(own.data, witnesses);
  if (json) print(JSON.stringify({ entries, head, witnessed, broken }));
  if (broken) {
    if (!json) say(`entry ${broken.seq} ${broken.reason}`);
    process.exitCode = exits.failed;
    return;
  }
  if (!json) print(`${entries} entries, ${witnessed} heads of partners, whole; head ${head.head}`);
}

/** Prints what this site holds of a partner, for that partner to verify its log with. */
export function heads({ config: file, partner }: HeadsFlags): void {
  const { own, site, partners } = loadConfig(file, process.env);
  if (!(partner in partners)) throw new Fault("RECIPIENT_UNKNOWN", `no partner ${partner}; list it under partners`);
  print(
    JSON.stringify({ of: partner, by: site, heads: [...headsHeld(own.data, partner)] } satisfies z.input<
      typeof heldFile
    >),
  );
}

/** Of a file, or of every .json file in a folder, what is about this site. A witness that says nothing of it is an error. */
function witnessesIn(path: string, site: string): readonly WitnessedHead[] {
  const files = filesAt(path);
  const found = files
    .map(readHeld)
    .filter(({ of }) => of === site)
    .flatMap(({ by, heads }) => heads.map(({ seq, head }) => ({ seq, head, by })));
  if (found.length > 0) return found;
  throw new Fault(
    "CONFIG_INVALID",
    `${path} holds no head of ${site}; have partners write semrs audit heads --partner ${site}`,
  );
}

function filesAt(path: string): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path).filter((name) => name.endsWith(".json"));
    if (names.length > maxFiles) throw new Fault("TOO_LARGE", `${path} holds over ${maxFiles} files`);
    return names.map((name) => join(path, name));
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault("CONFIG_INVALID", `${path} cannot be read; name a file or a folder`, { cause });
  }
}

function readHeld(file: string): z.output<typeof heldFile> {
  try {
    if (statSync(file).size > maxFileBytes) throw new Error("too large");
    return heldFile.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} is not what semrs audit heads writes`, { cause });
  }
}

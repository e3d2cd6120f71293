/** `semrs audit verify` and `heads`, `semrs log verify`: the chain of the own log, and what is held of partners' logs. */
import type { z } from "zod";
import { Fault } from "../../errors.ts";
import { type Config, loadConfig } from "../../pipeline/config.ts";
import {
  anchorHeld,
  checkAudit,
  checkpointsHeld,
  entryOf,
  forgotten,
  headsHeld,
  tallyOf,
  unlisted,
} from "../../store/audit-check.ts";
import type { AuditBreak, AuditCheck, WitnessedHead } from "../../store/store.ts";
import { exits, print, say } from "../exit.ts";
import { type heldFile, ownCheckpoints, witnessesIn } from "./witnesses.ts";

export type VerifyFlags = { readonly config: string; readonly json?: boolean; readonly witness?: string };
export type HeadsFlags = { readonly config: string; readonly partner: string };

/** Tells the first entry that does not hold; exit 1 when there is one. */
export function verifyAudit(flags: VerifyFlags): void {
  const { entries, pruned, head, witnessed, checkpoints, broken } = examined(flags);
  if (flags.json) print(JSON.stringify({ entries, pruned, head, witnessed, checkpoints, broken }));
  else if (broken) say(`entry ${broken.seq} ${broken.reason}`);
  else
    print(
      `${entriesText({ entries, pruned })}, ${checkpoints} checkpoints, ${witnessed} heads of partners, whole; head ${head.head}`,
    );
  if (broken) process.exitCode = exits.failed;
}

/** The same in the registry's words: what it has registered, changed and refused, and of whom the entry is that does not hold. */
export function verifyLog(flags: VerifyFlags): void {
  const { config, entries, pruned, head, witnessed, checkpoints, broken } = examined(flags);
  const counts = countsOf(config.own.data);
  if (flags.json) print(JSON.stringify({ entries, pruned, ...counts, head, witnessed, checkpoints, broken }));
  else {
    print(
      Object.entries(counts)
        .map(([what, count]) => `${count} ${what}`)
        .join(", "),
    );
    print(`${entriesText({ entries, pruned })}, ${checkpoints} checkpoints, ${witnessed} heads of partners`);
    const entry = broken && entryOf(config.own.data, broken.seq);
    const told = entry ? ` (${entry.event} of ${entry.peer}, ${entry.at})` : "";
    if (broken) say(`entry ${broken.seq}${told} ${broken.reason}`);
    else print(`whole; head ${head.head}`);
  }
  if (broken) process.exitCode = exits.failed;
}

const entriesText = ({ entries, pruned }: Pick<AuditCheck, "entries" | "pruned">): string =>
  pruned > 0 ? `${entries} entries (1 to ${pruned} pruned)` : `${entries} entries`;

type Examined = AuditCheck & { readonly config: Config; readonly checkpoints: number };

/** Chain, checkpoints and witnesses together; then whether every message and entry that a receipt tells of is still known. */
function examined({ config: file, witness }: VerifyFlags): Examined {
  const config = loadConfig(file, process.env);
  const { data } = config.own;
  const others = witness === undefined ? undefined : witnessesIn(witness, config);
  const own = ownCheckpoints(checkpointsHeld(data), config);
  const anchor = anchorHeld(data);
  const anchored = ownCheckpoints(
    anchor ? [{ seq: anchor.seq, at: anchor.lastAt, signed: anchor.signed }] : [],
    config,
  );
  const reached = own.heads.filter(({ seq }) => seq >= (anchor?.seq ?? 0));
  const check = checkAudit(data, [...(others?.heads ?? []), ...reached, ...anchored.heads]);
  const [lost] = forgotten(data, others?.receipts ?? []);
  const [missing] = lost ? [] : unlisted(data, others?.receipts ?? []);
  const isGone = (what: string, to: string): AuditBreak => ({
    seq: check.head.seq,
    reason: `is the last, and ${what} is gone: ${to} holds a receipt for it`,
  });
  const gone = lost
    ? isGone(`message ${lost.message}`, lost.to)
    : missing && isGone(`the entry of ${missing.manifest}`, missing.to);
  const checkpoints = own.heads.length;
  // Those of the site itself are counted apart; where something is broken, not all of them were reached.
  const witnessed = Math.max(0, check.witnessed - reached.length - anchored.heads.length);
  const broken =
    check.broken ?? anchored.broken ?? own.broken ?? deniedBefore(anchor, own.heads, others?.heads) ?? gone;
  return { ...check, config, witnessed, checkpoints, broken: broken ?? null };
}

/** Of entries that were pruned nothing is left but checkpoints: another head of the same entry contradicts. */
function deniedBefore(
  anchor: { readonly seq: number } | null,
  own: readonly WitnessedHead[],
  others: readonly WitnessedHead[] = [],
): AuditBreak | undefined {
  const heads = new Map(own.map(({ seq, head }) => [seq, head]));
  const other = others.find(({ seq, head }) => seq < (anchor?.seq ?? 0) && (heads.get(seq) ?? head) !== head);
  return other && { seq: other.seq, reason: `was another one before it was pruned: ${other.by} holds another head` };
}

const words = {
  registrations: ["registration done"],
  changes: ["amendment done"],
  questions: ["answer done", "emergency done"],
  refusals: ["registration refused", "amendment refused", "answer refused", "status refused"],
} as const;

function countsOf(data: string): Readonly<Record<keyof typeof words, number>> {
  const tally = tallyOf(data);
  const count = (kinds: readonly string[]): number =>
    tally
      .filter(({ event, outcome }) => kinds.includes(`${event} ${outcome}`))
      .reduce((sum, { count: n }) => sum + n, 0);
  return {
    registrations: count(words.registrations),
    changes: count(words.changes),
    questions: count(words.questions),
    refusals: count(words.refusals),
  };
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

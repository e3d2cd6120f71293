/** The journal as lines for a person: what, since when, why, and what to do about it. */
import { columns } from "../exit.ts";
import { meaningOf } from "../meanings.ts";

/** What the admin port answers on /journal. */
export type Listed = {
  readonly items: readonly {
    readonly id: string;
    readonly kind: string;
    readonly channel: string;
    readonly state: string;
    readonly code: string | null;
    readonly reason: string | null;
    readonly since: string;
    /** Instances of one study that wait or are held for the same reason are one matter. */
    readonly count?: number;
  }[];
  readonly deliveries: readonly {
    readonly id: string;
    readonly kind: string;
    readonly channel: string;
    readonly destination: string;
    readonly state: string;
    readonly attempts: number;
    readonly due: string;
    readonly createdAt: string;
    readonly code: string | null;
    readonly reason: string | null;
  }[];
  readonly refused: readonly {
    readonly id: string;
    readonly source: string;
    readonly controlId: string;
    readonly state: string;
    readonly code: string | null;
    readonly reason: string | null;
    readonly receivedAt: string;
  }[];
  readonly missing: readonly { readonly id: string }[];
  /** States of which there are more than were asked for; a site of an older version, still running after an upgrade, tells none. */
  readonly more?: readonly string[];
};

const shortDigits = 8;

/** Ids are told by their last digits, which `semrs journal` takes; the random half is what differs. */
export const short = (id: string): string => id.slice(-shortDigits);

export function listLines({ items, deliveries, refused, missing }: Listed, now: Date): readonly string[] {
  const rows = [
    ...items.map(({ id, kind, channel, state, since, code, reason, count }) =>
      row(id, state, age(since, now), `${whatIs(kind, count)} in ${channel}`, code, reason),
    ),
    ...deliveries.map(({ id, kind, destination, state, attempts, createdAt, code, reason }) =>
      row(id, state, age(createdAt, now), `${kind} → ${destination}, attempt ${attempts}`, code, reason),
    ),
    ...refused.map(({ id, source, controlId, state, receivedAt, code, reason }) =>
      row(id, state, age(receivedAt, now), `${controlId || "no control id"} from ${source}`, code, reason),
    ),
    ...missing.map(({ id }) =>
      row(id, "missing", "", "acknowledged, not in the index", "STORE_DAMAGED", "restore the data folder"),
    ),
  ];
  if (rows.length === 0) return ["nothing waits, is held, parked or refused"];
  const codes = [...new Set(rows.flatMap(([, , , , code]) => (code ? [code] : [])))];
  const help = codes.flatMap((code) => {
    const meaning = meaningOf(code);
    return meaning ? [`${code}: ${meaning.cause}`, `  → ${meaning.remedy}`] : [];
  });
  return [...columns([["id", "state", "for", "what", "code", "reason"], ...rows]), "", ...help];
}

const row = (id: string, state: string, since: string, what: string, code: string | null, reason: string | null) =>
  [short(id), state, since, what, code ?? "", reason ?? ""] as const;

const whatIs = (kind: string, count = 1): string => (kind === "document" ? kind : `${count} × ${kind}`);

/** How long ago, in one unit. */
function age(since: string, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(since)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

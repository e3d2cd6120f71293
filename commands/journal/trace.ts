/** The way of one message as a timeline: time, station, what happened, with whom, how long, what was answered. */
import type { Step } from "../../store/store.ts";
import { columns, inLine } from "../exit.ts";
import { meaningOf } from "../meanings.ts";
import { type Listed, short } from "./list.ts";

/** What the admin port answers on /trace/ID. */
export type Traced = {
  readonly arrivals: Listed["refused"];
  /** `retention`: it has no octets any more. */
  readonly documents: readonly (Listed["items"][number] & {
    form: string;
    sha256: string;
    bytes: number;
    retention?: "over";
  })[];
  readonly instances: Readonly<Record<string, number>>;
  readonly records: readonly {
    readonly id: string;
    readonly channel: string;
    readonly origin: string;
    readonly author: string;
    readonly state: string;
    readonly code: string | null;
    readonly parts: number;
    readonly manifestSha256: string;
    readonly receipts: readonly { readonly kind: string; readonly from: string }[];
  }[];
  readonly deliveries: Listed["deliveries"];
  readonly steps: readonly Step[];
};

/** One line a step, then what is under way or waits. */
export function traceLines({ documents, records, deliveries, steps }: Traced): readonly string[] {
  let day = "";
  const rows = steps.map(({ at, station, event, peer, detail, code, attempt, ms }) => {
    const [date = "", time = ""] = at.replace("Z", "").split("T");
    const when = date === day ? time : `${date} ${time}`;
    day = date;
    const tries = attempt && attempt > 1 ? `attempt ${attempt}` : "";
    const took = ms === null || ms === undefined ? "" : lasted(ms);
    return [when.padStart(23), station, event, [peer, detail, code, tries, took].filter((each) => each).join(" · ")];
  });
  return [
    ...documents.map(
      ({ form, sha256, bytes, retention }) =>
        `document ${form}, ${bytes} octets, sha256 ${sha256.slice(0, 16)}…${retention ? "; its retention is over" : ""}`,
    ),
    ...records.map(({ id, author, parts, state }) => `record ${short(id)} of ${author}, ${parts} parts, ${state}`),
    ...columns(rows),
    ...pending(documents, deliveries),
  ];
}

function pending(documents: Traced["documents"], deliveries: Traced["deliveries"]): readonly string[] {
  const waiting = documents
    .filter(({ state }) => state === "waiting" || state === "held")
    .map(({ state, since, code, reason }) => `now: ${state} since ${since}${said(code, reason)}`);
  const queued = deliveries
    .filter(({ state }) => state !== "delivered" && state !== "discarded")
    .map(({ kind, destination, state, attempts, due, code, reason }) => {
      // What has no code was not refused: its reason is what it waits for, and its time has come.
      const waits = code === null && reason !== null ? `, ${inLine(reason)}` : `, next ${due}`;
      const next = state === "queued" || state === "ambiguous" ? waits : "";
      return `now: ${kind} → ${destination} ${state} after ${attempts} attempts${next}${because(code, reason)}`;
    });
  return [...waiting, ...queued];
}

/** A reason may be as another house told it. */
const because = (code: string | null, reason: string | null): string =>
  code ? `, ${code}: ${inLine(reason ?? "")}${remedyOf(code)}` : "";
/** A document that was not refused may say what it waits for. */
const said = (code: string | null, reason: string | null): string =>
  code === null && reason !== null ? `, ${inLine(reason)}` : because(code, reason);

function remedyOf(code: string): string {
  const meaning = meaningOf(code);
  return meaning ? `\n     → ${meaning.remedy}` : "";
}

/** 4 ms, 12.3 s, 3 m 20 s. */
function lasted(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 120
    ? `${minutes} m ${Math.round((ms % 60_000) / 1000)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} m`;
}

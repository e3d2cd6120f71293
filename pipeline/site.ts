/** What every station of one running site shares. */
import type { Rest } from "../connectors/rest.ts";
import type { Identity } from "../envelope/identity.ts";
import { codeOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Change, Id, Step, Store, Way } from "../store/store.ts";
import type { Config } from "./config.ts";
import type { Events } from "./events.ts";
import type { TlsKeys } from "./identity.ts";
import type { Metrics, Station } from "./metrics.ts";
import type { Stopped } from "./stops.ts";

export type Site = {
  /** One object for all stations, whose parts a reload replaces (`reload.ts`): they are looked up when they are needed. */
  readonly config: Config;
  /** Its `trust` has the revocation lists of the moment, and its `partners` those of the last reload: neither is kept aside. */
  readonly identity: Identity;
  readonly tls: TlsKeys;
  readonly store: Store;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: () => Date;
  /** Aborted when the site stops. */
  readonly signal: AbortSignal;
  /** The REST client of a partner; RECIPIENT_UNKNOWN if the configuration names none. */
  rest(org: string): Rest;
  /** Puts partners with renewed certificates in the place of those that are known; names of those that differ. */
  renew(partners: Identity["partners"]): readonly string[];
  /** Deliveries were added: look now. `way` is theirs, if all of them have one. */
  wake(way?: Way): void;
  /** A partner's audit log has become shorter. */
  doubt(org: string): void;
  readonly events: Events;
  /** What a person has paused or is draining. */
  readonly stopped: Stopped;
  /** Where a document that a message refers to is asked for, unless at its own address: a test has it itself. */
  readonly documentAt?: ((url: URL) => URL) | undefined;
};

/** Runs one pass of a station and counts how it ended: `codeIn` tells of a result that says no. */
export async function pass<T>(
  site: Site,
  station: Station,
  channel: string,
  work: () => Promise<T>,
  codeIn: (result: T) => string | undefined = () => undefined,
): Promise<T> {
  const started = performance.now();
  try {
    const result = await work();
    site.metrics.passed(station, channel, codeIn(result) ?? "ok", performance.now() - started);
    return result;
  } catch (thrown) {
    site.metrics.passed(station, channel, codeOf(thrown), performance.now() - started);
    throw thrown;
  }
}

/** Whole milliseconds since `performance.now()` said this. */
export const msSince = (started: number): number => Math.round(performance.now() - started);

/** A step of a message's way, now; committed with what it tells of. */
export const step = (
  site: Site,
  subject: Id,
  station: Station | "admin",
  event: string,
  more: StepFields = {},
): Change => site.store.steps.add({ subject, station, event, at: site.now().toISOString(), ...more });

type StepFields = Omit<Step, "subject" | "at" | "station" | "event">;

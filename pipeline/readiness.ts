/** Whether a site can do its work, one line a check: asked on `/health/ready`, watched all the time, told in the log when it changes. */
import { pemToDer, readCertificate } from "../envelope/certificate.ts";
import { revokedAt } from "../envelope/index.ts";
import { codeOf, type ErrorCode, Fault, orFault, reasonOf } from "../errors.ts";
import { authorities, revocationLists } from "./authorities.ts";
import { expiryOf } from "./expiry.ts";
import { goneChannels } from "./gone.ts";
import type { Reconciler } from "./reconcile.ts";
import { msSince, type Site } from "./site.ts";
import { stopLines } from "./stops.ts";

export type CheckState = "pass" | "warn" | "fail";
export type Check = {
  readonly check: string;
  readonly state: CheckState;
  /** In words, with nothing of a patient. */
  readonly says: string;
  readonly code?: ErrorCode;
};

/** A check of something that ends: days that are left, and the step that has been passed; or that was revoked. */
export type Expiring = Check & { readonly days?: number; readonly step?: number; readonly isRevoked?: true };

/** Something that has to listen for the site to be whole. */
export type Listener = { readonly name: string; readonly address: string; isListening(): boolean };

export type Readiness = {
  /** Everything, looked at now. */
  checks(): Promise<readonly Check[]>;
  /** All listeners are open from now on. */
  opened(listeners: readonly Listener[]): void;
  /** They are about to be closed: a person wants it, and nothing more is told in the log. */
  leave(): void;
  stop(): Promise<void>;
};

const watchMs = 5_000;
const answerMs = 5_000;

/** Only what fails makes a site not ready; a warning is told. */
export const isReady = (checks: readonly Check[]): boolean => checks.every(({ state }) => state !== "fail");
/** As `/health/ready` writes it for a person. */
export const checkLine = ({ check, state, says }: Check): string => `${state} ${check}: ${says}`;

/** Watches from `opened` on. `doubt`: why the clock is not believed. */
export function openReadiness(
  site: Site,
  reconciler: Reconciler,
  doubt = (): string | undefined => undefined,
): Readiness {
  let listeners: readonly Listener[] | undefined;
  let isLeaving = false;
  let laying: Promise<void> | undefined;
  const told = new Map<string, string>();

  const cheap = (): readonly Check[] => [
    ...asked("disk", () => [disk(site)]),
    ...asked("certificates", () => certificates(site)),
    listening(listeners, isLeaving || site.signal.aborted),
    balance(reconciler),
    goneChannels(site.config, reconciler.last()),
    ...asked("clock", () => clock(site, doubt())),
    ...asked("stops", () => stops(site)),
  ];
  /** One line a change: a check that begins to warn or fail, a certificate that comes a step nearer to its end, and the end of it. */
  const watch = (): void => {
    if (!listeners || isLeaving) return;
    laying = site.store.reserve.lay().catch(() => undefined);
    const checks: readonly Expiring[] = cheap();
    for (const { check, state, says, code, step } of checks) {
      const now = `${state} ${step ?? ""}`;
      const before = told.get(check) ?? "pass ";
      told.set(check, now);
      // The reconciler tells of itself, with its figures.
      if (now === before || check === "reconciliation") continue;
      const fields = { station: check, reason: says, ...(code ? { code } : {}) };
      if (state === "pass") site.log("health.passed", fields);
      else if (state === "warn") site.log("health.warned", fields, "warn");
      else site.log("health.failed", fields, "error");
    }
    // A stop, an authority, the revocation lists or the clock have a line while there is something to say.
    for (const [check, before] of told) {
      if (checks.some((each) => each.check === check)) continue;
      told.delete(check);
      if (before !== "pass ") site.log("health.passed", { station: check, reason: "over" });
    }
  };
  const timer = setInterval(watch, watchMs).unref();
  return {
    checks: async () => [await store(site), ...cheap()],
    opened: (open) => {
      listeners = open;
      watch();
    },
    leave: () => {
      isLeaving = true;
    },
    stop: async () => {
      clearInterval(timer);
      await laying;
    },
  };
}

/** What cannot be looked at has failed. */
function asked(check: string, look: () => readonly Check[]): readonly Check[] {
  try {
    return look();
  } catch (thrown) {
    return [{ check, state: "fail", says: `cannot be looked at: ${reasonOf(thrown)}`, code: codeOf(thrown) }];
  }
}

/** The writer commits and syncs: no other sign tells that it would keep what comes next. */
async function store({ store: kept }: Site): Promise<Check> {
  const check = "store";
  if (kept.missing.length > 0)
    return {
      check,
      state: "fail",
      says: `${kept.missing.length} acknowledged and not in the index; semrs verify, then a backup`,
    };
  const started = performance.now();
  const late = Promise.withResolvers<"late">();
  const timer = setTimeout(() => late.resolve("late"), answerMs);
  try {
    const answer = await Promise.race([kept.commit([]), late.promise]);
    if (answer === "late") return { check, state: "fail", says: `no commit within ${answerMs} ms; check the disk` };
    return { check, state: "pass", says: `commits in ${msSince(started)} ms` };
  } catch (thrown) {
    return { check, state: "fail", says: reasonOf(thrown), code: codeOf(thrown) };
  } finally {
    clearTimeout(timer);
  }
}

function disk({ store: { reserve } }: Site): Check {
  const check = "disk";
  const { freeBytes, minFreeBytes, isGivenUp, isOutOfFiles } = reserve.now();
  const free = `${mebibytes(freeBytes)} MiB free, ${mebibytes(minFreeBytes)} MiB in reserve`;
  if (freeBytes < minFreeBytes)
    return {
      check,
      state: "fail",
      says: `${free}: nothing is accepted, what is queued still drains; free space`,
      code: "STORE_FULL",
    };
  if (isOutOfFiles) return { check, state: "fail", says: `${free}, ${noInodes}`, code: "STORE_FULL" };
  if (isGivenUp) return { check, state: "warn", says: `${free}, but the ballast is given up; free space` };
  return { check, state: "pass", says: free };
}

const noInodes = "but no inodes (df -i): nothing above 64 KiB is accepted; remove files";
const mebibytes = (bytes: number): number => Math.floor(bytes / 1024 / 1024);

/** As they were loaded: new files count from the next start. Revocation lists as they are now. */
export function certificates({ identity, tls, now }: Pick<Site, "identity" | "tls" | "now">): readonly Expiring[] {
  const at = now();
  const [tlsDer, ...chain] = pemToDer(tls.certificate);
  const { signer, self, legacy } = identity;
  const own = {
    ...{ sign: signer.certificate, decrypt: self.decrypt, tls: tlsDer },
    ...(legacy ? { "legacy-sign": legacy.signer.certificate, "legacy-decrypt": legacy.unwrapper.certificate } : {}),
  };
  const ends = Object.entries(own).flatMap(([name, der]) =>
    der ? [{ name, end: readCertificate(der).notAfter, revoked: revokedAt(der, identity.trust) }] : [],
  );
  return [
    ...ends.map(({ name, end, revoked }) => {
      const { days, step } = expiryOf(end, at);
      const check = `certificate ${name}`;
      const day = (revoked ?? end).toISOString().slice(0, 10);
      if (revoked)
        return {
          check,
          days,
          isRevoked: true,
          state: "fail",
          says: `revoked on ${day}, so that partners refuse what it stands for; make a new key and have it issued`,
        } as const;
      if (step === 0)
        return { check, step, days, state: "fail", says: `expired on ${day}; have it issued anew` } as const;
      if (step === undefined) return { check, days, state: "pass", says: `until ${day}` } as const;
      return {
        check,
        step,
        days,
        state: "warn",
        says: `expires in ${days} d, on ${day}; have it issued anew`,
      } as const;
    }),
    ...authorities({ identity, now }, own, chain),
    ...revocationLists({ identity, now }),
  ];
}

/** One that is behind: no partner is answered meanwhile, and none is asked (`checkClock`). One that is ahead: less is removed. */
export function clock({ store, now }: Pick<Site, "store" | "now">, doubt?: string): readonly Check[] {
  const behind = orFault(() => store.steps.checkClock(now()));
  const check = "clock";
  if (behind instanceof Fault) {
    const says = `${behind.message}; until then nothing goes to a partner or comes from one`;
    return [{ check, state: "fail", says, code: behind.code }];
  }
  return doubt === undefined ? [] : [{ check, state: "warn", says: doubt }];
}

function listening(listeners: readonly Listener[] | undefined, isStopping: boolean): Check {
  const check = "listeners";
  if (isStopping) return { check, state: "fail", says: "the site is stopping" };
  if (!listeners) return { check, state: "fail", says: "the site is starting" };
  const closed = listeners.filter((each) => !each.isListening());
  if (closed.length === 0) return { check, state: "pass", says: `${listeners.length} open` };
  const where = closed.map(({ name, address }) => `${name} ${address}`).join(", ");
  return { check, state: "fail", says: `not listening any more: ${where}; restart the site` };
}

/** Not ready would be wrong: a person wanted it. Forgotten it must not be. */
const stops = ({ store }: Site): readonly Check[] =>
  stopLines(store).map(({ kind, name, mode, reason, since, left }) => {
    return { check: `${kind} ${name}`, state: "warn", says: `${mode} since ${since}, ${left} left: ${reason}` };
  });

function balance(reconciler: Reconciler): Check {
  const check = "reconciliation";
  const last = reconciler.last();
  if (!last) return { check, state: "pass", says: "not looked at yet" };
  if (last.holds) return { check, state: "pass", says: `holds as of ${last.at}` };
  const says = last.failed ?? `${last.lost} accepted and nowhere to be found; semrs status, semrs verify`;
  return { check, state: "fail", says, code: "STORE_DAMAGED" };
}

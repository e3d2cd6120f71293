/** Reconciliation as a figure of the running site: looked at again and again, and an alarm when it does not hold. */
import { codeOf, reasonOf } from "../errors.ts";
import type { Reconciled } from "../store/checks.ts";
import { outboundChannels } from "./channels.ts";
import { msSince, type Site } from "./site.ts";

/** `lost`: accepted, and nowhere to be found; `failed`: why it could not be told. */
export type Balance = Reconciled & {
  readonly at: string;
  readonly ms: number;
  readonly lost: number;
  readonly holds: boolean;
  readonly failed?: string;
};

export type Reconciler = {
  /** Looked at now; who asks meanwhile gets the next one. */
  look(): Promise<Balance>;
  /** The last that was looked at. */
  last(): Balance | undefined;
  /** Looks now, and about once a minute from now on. */
  begin(): void;
  stop(): Promise<void>;
};

const everyMs = 60_000;
/** A pass over a large store takes seconds: it takes no more than a twentieth of one core. */
const rest = 20;
const nothing = { acknowledged: 0, channels: [] } as const;

/** `reconcile.lost` and `reconcile.restored` are told once each. */
export function openReconciler(site: Site): Reconciler {
  const { store, log, config } = site;
  let last: Balance | undefined;
  let running: Promise<Balance> | undefined;
  let timer: NodeJS.Timeout | undefined;
  const stopping = new AbortController();

  const pass = async (): Promise<Balance> => {
    const outbound = outboundChannels(config).map(({ name }) => name);
    const [at, started] = [site.now().toISOString(), performance.now()];
    const found = await store.checks.reconcile(outbound, stopping.signal).catch((thrown: unknown) => {
      return { ...nothing, code: codeOf(thrown), failed: reasonOf(thrown) };
    });
    if (stopping.signal.aborted) return { ...nothing, at, ms: 0, lost: 0, holds: true };
    const lost = found.channels.reduce((sum, channel) => sum + channel.lost, 0);
    const balance: Balance = {
      ...found,
      at,
      ms: msSince(started),
      lost,
      holds: lost === 0 && !("failed" in found),
    };
    const held = last?.holds ?? true;
    last = balance;
    site.metrics.reconciled(balance.channels, balance.holds);
    if (held && !balance.holds) {
      const channel = found.channels.find((each) => each.lost > 0)?.channel ?? "";
      const reason = balance.failed ?? "accepted, and nowhere to be found: semrs status and semrs verify say more";
      log("reconcile.lost", { channel, count: lost, code: "STORE_DAMAGED", reason }, "error");
    }
    if (!held && balance.holds) log("reconcile.restored");
    return balance;
  };
  const look = (): Promise<Balance> => {
    const next = (running ?? Promise.resolve()).then(pass);
    const mine = next.finally(() => {
      if (running === mine) running = undefined;
    });
    running = mine;
    return mine;
  };
  const watch = async (): Promise<void> => {
    const { ms } = await look();
    if (!stopping.signal.aborted) timer = setTimeout(watch, Math.max(everyMs, ms * rest)).unref();
  };
  return {
    begin: () => void watch(),
    look,
    last: () => last,
    stop: async () => {
      stopping.abort();
      clearTimeout(timer);
      await running;
    },
  };
}

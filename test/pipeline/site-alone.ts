/** Hospital A of the shipped configuration over a real store, without listeners or partners: for one station at a time. */
import { join } from "node:path";
import { loadConfig } from "../../pipeline/config.ts";
import { openEvents } from "../../pipeline/events.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import { openMetrics } from "../../pipeline/metrics.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStopped } from "../../pipeline/stops.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";

const root = join(import.meta.dirname, "..", "..");

/** `env` has PKI and DATA at least; `seen`: the store as the site is to see it. Whoever asks closes its store. */
export async function siteAlone(
  env: Readonly<Record<string, string>>,
  seen = (opened: Store): Store => opened,
): Promise<Site> {
  const config = loadConfig(join(root, "channels.yaml"), { SITE: "hospital-a", ...env });
  const keys = loadKeys(config);
  const store = seen(await openStore({ folder: config.own.data, key: keys.storageKey, now: () => new Date() }));
  return {
    config,
    identity: keys.identity,
    tls: keys.tls,
    store,
    log: () => undefined,
    metrics: openMetrics(config.site, store),
    now: () => new Date(),
    signal: new AbortController().signal,
    renew: () => [],
    rest: () => {
      throw new Error("nothing is sent here");
    },
    wake: () => undefined,
    doubt: () => undefined,
    stopped: openStopped(store),
    events: openEvents(
      () => undefined,
      () => new Date(),
    ).events,
  };
}

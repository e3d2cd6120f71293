/** Starts one site in this process: its store, its services, its engine; and stops them in turn. */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { openRest, type Rest } from "../connectors/rest.ts";
import { Fault } from "../errors.ts";
import { openLocations } from "../exchange/locations.ts";
import { messageStatus } from "../exchange/message-status.ts";
import { openRegistry } from "../exchange/registry.ts";
import { openRepository, type Repository } from "../exchange/repository.ts";
import { openRevocation } from "../exchange/revocation.ts";
import { type Exchange, type Serving, serve } from "../exchange/server.ts";
import { openSettling } from "../exchange/settling.ts";
import { openSpools } from "../exchange/spool.ts";
import { type Log, openLog } from "../log.ts";
import { openCheckpoints } from "../pipeline/checkpoints.ts";
import type { Config } from "../pipeline/config.ts";
import { receiveCorrection } from "../pipeline/corrected.ts";
import { tellReplacedSince } from "../pipeline/correction.ts";
import { publishedBy } from "../pipeline/directory.ts";
import { type Bound, startEngine } from "../pipeline/engine.ts";
import { openEvents } from "../pipeline/events.ts";
import { ownerOf } from "../pipeline/identifiers.ts";
import { loadKeys } from "../pipeline/identity.ts";
import { receiveLegacy } from "../pipeline/legacy.ts";
import { openMetrics } from "../pipeline/metrics.ts";
import { receivePush } from "../pipeline/open.ts";
import { receiveRelation } from "../pipeline/related.ts";
import type { Reloaded } from "../pipeline/reload.ts";
import type { Site } from "../pipeline/site.ts";
import { openStopped } from "../pipeline/stops.ts";
import { openStore } from "../store/index.ts";
import type { Store } from "../store/store.ts";
import { version } from "./version.ts";

export type Started = {
  readonly addresses: {
    readonly admin: string;
    readonly rest: string | null;
    readonly systems: Readonly<Record<string, { mllp?: string; dicom?: string }>>;
  };
  /** For a program in the same process that reads what became of something. */
  readonly store: Store;
  /** Reads the configuration anew; CONFIG_INVALID when that changes nothing. */
  reload(): Reloaded;
  stop(): Promise<void>;
};

const graceMs = 5_000;
/** Starts a site in this process. Everything it opened is closed again when a part of it cannot start. */
export async function startSite(
  config: Config,
  told: Log = openLog(config.site),
  documentAt?: Site["documentAt"],
): Promise<Started> {
  const started = performance.now();
  const keys = loadKeys(config);
  const now = () => new Date();
  const { log, events } = openEvents(told, now);
  const { crls: _none, ...trust } = keys.identity.trust;
  const folder = join(config.own.data, "revocation");
  const { crls: sources, renew: renewMs } = config.trust;
  const revocation = await openRevocation({ sources, trust, folder, renewMs, now, log });
  const { minFree: minFreeBytes, ballast: ballastBytes } = config.own.disk;
  const sizes = { minFreeBytes, ballastBytes };
  const partners = new Map(keys.identity.partners);
  const known = { ...keys.identity, partners };
  // Asked for each time: the lists are renewed while the site runs.
  const identity = Object.defineProperty(known, "trust", { get: revocation.trust, enumerable: true });
  const house = { name: config.site, formerly: config.own.formerly };
  const store = await openStore({ folder: config.own.data, key: keys.storageKey, house, now, ...sizes }).catch(
    async (thrown: unknown) => {
      await revocation.stop();
      throw thrown;
    },
  );
  for (const { id } of store.missing) log("engine.missing", { message: id, code: "STORE_DAMAGED" }, "error");

  const stopping = new AbortController();
  const rests = new Map<string, Rest>();
  let bound: Bound = { wake: () => undefined, doubt: () => undefined };
  const site: Site = {
    config,
    identity,
    tls: keys.tls,
    store,
    log,
    metrics: openMetrics(config.site, store, config),
    now,
    signal: stopping.signal,
    rest: (org) => {
      const known = rests.get(org);
      if (known) return known;
      const partner = config.partners[org];
      if (!partner) throw new Fault("RECIPIENT_UNKNOWN", `no partner ${org}; list it under partners`);
      const pinned = (partners.get(org) ?? keys.identity.self).tls;
      const { url, silence: timeoutMs } = partner;
      const { isRevoked } = revocation;
      const rest = openRest({ url, ...keys.tls, expectCertificateSha256: pinned, isRevoked, timeoutMs });
      rests.set(org, rest);
      return rest;
    },
    renew: (next) => {
      const differing = [...next.values()].filter((each) => !isDeepStrictEqual(each, partners.get(each.org)));
      for (const each of differing) {
        partners.set(each.org, each);
        // What is under way ends on its connection; the next one is pinned to what is known now.
        rests.delete(each.org);
      }
      return differing.map(({ org }) => org);
    },
    wake: (way) => bound.wake(way),
    doubt: (org) => bound.doubt(org),
    stopped: openStopped(store),
    events,
    documentAt,
  };
  const { passed } = site.metrics;
  const spools = openSpools(join(config.own.data, "spool"));
  const locations = openLocations(join(config.own.data, "retrievals"), now);
  const exchange: Exchange = { identity, store, spools, locations, tls: keys.tls, now, log, passed };
  const repository: Repository = openRepository(exchange, {
    pushed: (opened, changes) => receivePush(site, opened, changes),
    corrected: (org, correction, changes) => receiveCorrection(site, org, correction, changes),
    related: (org, relation, changes) => receiveRelation(site, org, relation, changes),
    legacy: (opened, answered) => receiveLegacy(site, opened, answered),
    handed: (key) => tellReplacedSince(site, key),
  });

  /** What runs by now, and would go on where the rest of the start fails. */
  const begun: { stop(): Promise<void> }[] = [revocation];
  let serving: Serving | undefined;
  try {
    const engine = await startEngine(site, repository.provide, (made) => {
      bound = made;
    });
    begun.push(engine);
    const listen = config.own.repository ?? config.own.registry;
    if (listen) {
      const resources = [
        ...(config.own.repository ? [...repository.resources, messageStatus(exchange, "repository")] : []),
        ...(config.own.registry
          ? [
              ...openRegistry(exchange, (org, root) => ownerOf(config, root) === org, config.own.access),
              messageStatus(exchange, "registry"),
            ]
          : []),
      ];
      const told = resources.map(({ path, purposes }) => ({ path, purposes: [...purposes] }));
      const published = publishedBy(site, { version, resources: told });
      const { connectionsOfOne } = config.own.limits;
      const limited = { ...exchange, published, ...engine.limits, connectionsOfOne };
      serving = await serve(listen, resources, limited, () => !stopping.signal.aborted);
      begun.push(serving);
    }
    await store.commit(store.audit.add({ event: "start" }));
    const checkpoints = openCheckpoints(site);
    checkpoints.begin();
    const settling = config.own.registry ? openSettling(store, log) : undefined;
    engine.opened(serving ? [{ name: "rest", ...serving }] : []);
    const addresses = { ...engine.addresses, rest: serving?.address ?? null };
    log("engine.started", { reason: JSON.stringify(addresses), ms: Math.round(performance.now() - started) });
    return {
      addresses,
      store,
      reload: engine.reload,
      stop: async () => {
        // What is under way may finish; what hangs is cut.
        const patience = setTimeout(() => stopping.abort(), graceMs);
        engine.leave();
        await serving?.stop();
        await settling?.stop();
        await engine.stop();
        clearTimeout(patience);
        stopping.abort();
        for (const rest of rests.values()) rest.close();
        await revocation.stop();
        await store.commit(store.audit.add({ event: "stop" })).catch(() => undefined);
        await checkpoints.stop();
        await store.close();
        log("engine.stopped");
      },
    };
  } catch (thrown) {
    for (const each of begun.toReversed()) await each.stop();
    await store.close();
    throw thrown;
  }
}

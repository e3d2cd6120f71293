/** A message that was not answered: sent again, or held for a person, as the system is configured. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Fault } from "../errors.ts";
import { loadConfig } from "../pipeline/config.ts";
import { openDeliveryLoop } from "../pipeline/delivery.ts";
import { openMetrics } from "../pipeline/metrics.ts";
import type { Site } from "../pipeline/site.ts";
import { openStopped } from "../pipeline/stops.ts";
import { openStore } from "../store/index.ts";
import type { Delivery, Store } from "../store/store.ts";
import { until } from "./sites.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Connecting = (onTheWire: () => Promise<void>) => Promise<void>;

async function loopWith(
  ambiguous: "hold" | "retry",
  folder: string,
  tried: string[],
  connecting?: Connecting,
): Promise<Store> {
  const store = await openStore({ folder, key: new Uint8Array(32), now: () => new Date() });
  stops.push(() => store.close().catch(() => undefined));
  const config = loadConfig(join(import.meta.dirname, "..", "channels.yaml"), { SITE: "hospital-b" });
  const his = config.own.systems.his;
  const systems = { his: { ...his, mllp: { ...his?.mllp, ambiguous } } };
  const retry = { first: 1, max: 1, for: 1e9 };
  const site = {
    config: { ...config, delivery: { ...config.delivery, retry }, own: { ...config.own, systems } },
    store,
    log: () => undefined,
    metrics: openMetrics("hospital-b", store),
    now: () => new Date(),
    signal: new AbortController().signal,
    stopped: openStopped(store),
  } as unknown as Site;
  const send = async (_site: Site, { id }: Delivery, onTheWire: () => Promise<void>) => {
    if (connecting) {
      await connecting(onTheWire);
      return { changes: [], event: "delivered" };
    }
    await onTheWire();
    tried.push(id);
    if (tried.length < 3) throw new Fault("PEER_AMBIGUOUS", "no acknowledgement within 30 s");
    return { changes: [], event: "delivered" };
  };
  const sends = {
    register: send,
    change: send,
    push: send,
    notify: send,
    fetch: send,
    retrieve: send,
    identify: send,
    receipt: send,
    message: send,
    study: send,
  };
  const loop = openDeliveryLoop(site, sends, {});
  stops.push(() => loop.stop());
  if (store.deliveries.list({ limit: 1 }).length === 0) {
    await store.commit([store.deliveries.add(queued(store, "queued"))]);
    loop.wake();
  }
  return store;
}
const queued = (store: Store, state: Delivery["state"]): Delivery => ({
  id: store.newId(),
  kind: "message",
  channel: "incoming",
  destination: "his",
  order: null,
  record: null,
  state,
  attempts: 0,
  due: 0,
  code: null,
  reason: null,
  createdAt: new Date().toISOString(),
  payload: null,
});
const folder = (): string => mkdtempSync(join(tmpdir(), "semrs-ambiguous-"));
const stateOf = (store: Store): string | undefined => store.deliveries.list({ limit: 1 })[0]?.state;

test("retry: sent again under the same control id until it is answered", async () => {
  const tried: string[] = [];
  const store = await loopWith("retry", folder(), tried);
  await until("delivered", () => stateOf(store) === "delivered");
  expect(new Set(tried).size).toBe(1);
  expect(tried).toHaveLength(3);
});

test("hold: parked after one attempt", async () => {
  const tried: string[] = [];
  const store = await loopWith("hold", folder(), tried);
  await until("parked", () => stateOf(store) === "parked");
  expect(tried).toHaveLength(1);
  expect(store.deliveries.list({ limit: 1 })[0]?.code).toBe("PEER_AMBIGUOUS");
});

test("hold: a crash before the first octet leaves it queued, and it is sent as if nothing had been", async () => {
  const path = folder();
  const begun = Promise.withResolvers<() => Promise<void>>();
  const before = await loopWith("hold", path, [], async (onTheWire) => {
    begun.resolve(onTheWire);
    return await new Promise<never>(() => undefined);
  });
  await begun.promise;
  expect(stateOf(before)).toBe("queued");
  // It never stops in good order.
  stops.pop();
  await before.close();
  const sent: string[] = [];
  const after = await loopWith("hold", path, sent, async (mark) => {
    await mark();
    sent.push(stateOf(after) ?? "");
  });
  await until("delivered", () => stateOf(after) === "delivered");
  expect(sent).toEqual(["inflight"]);
});

test("who discards it while it waits for a connection is in time", async () => {
  const begun = Promise.withResolvers<() => Promise<void>>();
  const go = Promise.withResolvers<void>();
  const store = await loopWith("retry", folder(), [], async (onTheWire) => {
    begun.resolve(onTheWire);
    await go.promise;
    await onTheWire();
  });
  const onTheWire = await begun.promise;
  const [delivery] = store.deliveries.list({ limit: 1 });
  await store.commit([store.deliveries.mark(delivery?.id ?? "", { state: "discarded" })]);
  await expect(onTheWire()).rejects.toMatchObject({ code: "STORE_CONFLICT" });
  go.resolve();
  await stops.pop()?.();
  expect(stateOf(store)).toBe("discarded");
});

test("hold: what a crash left on the wire is parked, not sent again", async () => {
  const path = folder();
  const before = await openStore({ folder: path, key: new Uint8Array(32), now: () => new Date() });
  await before.commit([before.deliveries.add(queued(before, "inflight"))]);
  await before.close();
  const tried: string[] = [];
  const store = await loopWith("hold", path, tried);
  await until("parked", () => stateOf(store) === "parked");
  expect(tried).toEqual([]);
});

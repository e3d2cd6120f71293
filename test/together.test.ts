/** Deliveries that are told of in one request: what has come while one was under way, all or none, and each by itself where one is refused. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Fault } from "../errors.ts";
import { loadConfig } from "../pipeline/config.ts";
import { openDeliveryLoop, type SendTogether } from "../pipeline/delivery.ts";
import { openMetrics } from "../pipeline/metrics.ts";
import type { Site } from "../pipeline/site.ts";
import { openStopped } from "../pipeline/stops.ts";
import { openStore } from "../store/index.ts";
import type { Delivery, Store } from "../store/store.ts";
import { until } from "./sites.ts";
import { deliveryRow } from "./store/rows.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** A loop over a store that holds `count` registrations; `tried` has the deliveries of each request. */
async function loopOver(count: number, register: SendTogether) {
  const folder = mkdtempSync(join(tmpdir(), "semrs-together-"));
  const store = await openStore({ folder, key: new Uint8Array(32), now: () => new Date() });
  stops.push(() => store.close());
  const config = loadConfig(join(import.meta.dirname, "..", "channels.yaml"), { SITE: "hospital-a" });
  const site = {
    config: { ...config, delivery: { ...config.delivery, retry: { first: 1, max: 1, for: 1e9 } } },
    store,
    log: () => undefined,
    metrics: openMetrics("hospital-a", store),
    now: () => new Date(),
    signal: new AbortController().signal,
    stopped: openStopped(store),
  } as unknown as Site;
  const never = async () => {
    throw new Fault("UNEXPECTED", "nothing else is due");
  };
  const rows = Array.from({ length: count }, () => registration(store));
  await store.commit(rows.map(store.deliveries.add));
  const kinds = ["change", "push", "notify", "fetch", "retrieve", "identify", "receipt", "message", "study"] as const;
  const sends = Object.fromEntries(kinds.map((kind) => [kind, never])) as Record<(typeof kinds)[number], typeof never>;
  const tried: string[][] = [];
  const loop = openDeliveryLoop(site, sends, {
    register: (of, deliveries, turn) => {
      tried.push(deliveries.map(({ id }) => id));
      return register(of, deliveries, turn);
    },
  });
  stops.push(() => loop.stop());
  return { store, tried, loop, ids: rows.map(({ id }) => id) };
}

const registration = (store: Store): Delivery => deliveryRow(store.newId(), { payload: null });
const all: SendTogether = async (_site, deliveries) => deliveries.map(() => ({ changes: [], event: "registered" }));
const delivered = (store: Store): number => store.deliveries.list({ state: "delivered", limit: 100 }).length;

test("what is due goes in one request after the other, 32 at most, each once", async () => {
  const { store, tried, ids } = await loopOver(40, all);
  await until("delivered", () => delivered(store) === 40);
  expect(tried.map((each) => each.length)).toEqual([32, 8]);
  expect(tried.flat()).toEqual(ids);
});

test("what comes while a request is under way goes with the next one", async () => {
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const { store, tried, loop } = await loopOver(1, async (site, deliveries, turn) => {
    await answered;
    return await all(site, deliveries, turn);
  });
  await until("under way", () => tried.length === 1);
  for (let n = 0; n < 3; n += 1) {
    await store.commit([store.deliveries.add(registration(store))]);
    loop.wake({ kind: "register", destination: "registry" });
  }
  answer();
  await until("delivered", () => delivered(store) === 4);
  expect(tried.map((each) => each.length)).toEqual([1, 3]);
});

test("one that is refused is parked, and the others of its request are taken one by one", async () => {
  let bad = "";
  const { store, tried, ids } = await loopOver(3, async (site, deliveries, turn) => {
    bad = tried[0]?.[1] ?? "";
    if (deliveries.some(({ id }) => id === bad)) throw new Fault("PEER_REFUSED", "refused");
    return await all(site, deliveries, turn);
  });
  await until("parked", () => store.deliveries.list({ state: "parked", limit: 9 }).length === 1);
  await until("delivered", () => delivered(store) === 2);
  expect(store.deliveries.find(bad)).toMatchObject({ state: "parked", code: "PEER_REFUSED" });
  expect(tried.map((each) => each.length)).toEqual([3, 1, 1, 1]);
  expect(bad).toBe(ids[1]);
});

test("a registry that does not answer is asked again for the same ones, which are counted as tried", async () => {
  const { store, tried, ids } = await loopOver(3, async (site, deliveries, turn) => {
    if (tried.length < 3) throw new Fault("PEER_AMBIGUOUS", "no answer");
    return await all(site, deliveries, turn);
  });
  await until("delivered", () => delivered(store) === 3);
  expect(new Set(tried.map((each) => each.join())).size).toBe(1);
  expect(store.deliveries.find(ids[0] ?? "")?.attempts).toBe(tried.length);
});

/** A clock that is set while a house runs: what waits is neither forgotten for years nor older than it is. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { type ErrorCode, Fault } from "../../errors.ts";
import { openJumps } from "../../pipeline/clock-jumps.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { openDeliveryLoop, type Send, type SendTogether } from "../../pipeline/delivery.ts";
import { openMetrics } from "../../pipeline/metrics.ts";
import { newDelivery } from "../../pipeline/route.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStopped } from "../../pipeline/stops.ts";
import { systemClock } from "../../store/clock.ts";
import { openStore } from "../../store/index.ts";
import type { Delivery } from "../../store/store.ts";
import { until } from "../sites.ts";

const yearMs = 365 * 86_400_000;

describe("ages", () => {
  test("wherever the clock is set to, what was made is as old as it is, where the clock has shown that time once", () => {
    const setting = fc.record({ stay: fc.integer({ min: 0, max: yearMs }), by: fc.integer({ min: -9, max: 9 }) });
    fc.assert(
      fc.property(fc.array(setting, { maxLength: 6 }), fc.integer({ min: 0, max: yearMs }), (settings, rest) => {
        let now = { wall: 20 * yearMs, steady: 0 };
        const jumps = openJumps(now);
        const made = [now];
        const spans: [number, number][] = [];
        for (const { stay, by } of settings) {
          spans.push([now.wall, now.wall + stay]);
          now = { wall: now.wall + stay, steady: now.steady + stay };
          made.push(now);
          now = { wall: now.wall + by * yearMs, steady: now.steady };
          expect(jumps.look(now)).toBe(by * yearMs);
          made.push(now);
        }
        spans.push([now.wall, now.wall + rest]);
        now = { wall: now.wall + rest, steady: now.steady + rest };
        for (const each of made) {
          const shown = spans.filter(([from, to]) => from <= each.wall && each.wall <= to).length;
          const age = jumps.age(each.wall, now);
          if (shown === 1 && each.wall >= 20 * yearMs) expect(age).toBe(now.steady - each.steady);
          expect(age).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });

  test("drift is no jump, and what was made before the start is as old as the clock says", () => {
    const jumps = openJumps({ wall: 1_000_000, steady: 500 });
    expect(jumps.look({ wall: 1_059_000, steady: 600 })).toBe(0);
    expect(jumps.age(400_000, { wall: 1_000_100, steady: 600 })).toBe(600_100);
  });
});

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** A loop whose wall clock is ahead by `offset()`; `failing` says how an attempt ends, undefined for well. */
async function looping(
  folder: string,
  offset: () => number,
  failing: (delivery: Delivery) => ErrorCode | undefined,
  together: { readonly register?: SendTogether } = {},
) {
  const clock = { ...systemClock, now: () => Date.now() + offset() };
  const store = await openStore({ folder, key: new Uint8Array(32), now: () => new Date(clock.now()) });
  const config = loadConfig(join(import.meta.dirname, "..", "..", "channels.yaml"), { SITE: "hospital-b" });
  const retry = { first: 50, max: 100, for: 86_400_000 };
  const site = {
    config: { ...config, delivery: { ...config.delivery, retry } },
    store,
    log: () => undefined,
    metrics: openMetrics("hospital-b", store),
    now: () => new Date(clock.now()),
    signal: new AbortController().signal,
    stopped: openStopped(store),
  } as unknown as Site;
  const send: Send = async (_site, delivery) => {
    const code = failing(delivery);
    if (code) throw new Fault(code, "not now");
    return { changes: [], event: "delivered" };
  };
  const sends = new Proxy({}, { get: () => send }) as Record<Delivery["kind"], Send>;
  const loop = openDeliveryLoop(site, sends, together, clock);
  stops.push(async () => {
    await loop.stop();
    await store.close();
  });
  const first = (): Delivery | undefined => store.deliveries.list({ limit: 1 })[0];
  return { site, store, loop, first };
}
const newFolder = (): string => mkdtempSync(join(tmpdir(), "semrs-jumps-"));

test("what was put off while the clock was years ahead goes on when it is set right", async () => {
  let [offset, isDown] = [5 * yearMs, true];
  const at = await looping(
    newFolder(),
    () => offset,
    () => (isDown ? "PEER_UNREACHABLE" : undefined),
  );
  await at.store.commit([at.store.deliveries.add(newDelivery(at.site, "receipt", "incoming", "hospital-a"))]);
  at.loop.wake();
  await until("tried", () => (at.first()?.attempts ?? 0) > 0);
  [offset, isDown] = [0, false];
  at.loop.wake();
  await until("delivered", () => at.first()?.state === "delivered");
});

test("what is due in a moment stays so when the clock is set back by less than others wait", async () => {
  let [offset, isDown] = [5 * 60_000, true];
  const at = await looping(
    newFolder(),
    () => offset,
    () => (isDown ? "PEER_UNREACHABLE" : undefined),
  );
  const { deliveries } = at.store;
  const [soon, later] = [0, 2 * 60_000].map((ms) => {
    const delivery = newDelivery(at.site, "receipt", "incoming", "hospital-a");
    return { ...delivery, due: delivery.due + ms };
  }) as [Delivery, Delivery];
  await at.store.commit([soon, later].map(deliveries.add));
  at.loop.wake();
  await until("tried", () => (deliveries.find(soon.id)?.attempts ?? 0) > 0);
  [offset, isDown] = [0, false];
  at.loop.wake();
  await until("delivered", () => deliveries.find(soon.id)?.state === "delivered");
  // Both clocks are read one after the other.
  expect(Math.abs((deliveries.find(later.id)?.due ?? 0) - later.due + 5 * 60_000)).toBeLessThan(1_000);
});

test("what comes to the registry while the clock is set back waits for no more than its turn", async () => {
  let offset = 8 * 3_600_000;
  const at = await looping(
    newFolder(),
    () => offset,
    () => undefined,
    {
      register: async (_site, deliveries) => {
        offset = 0;
        return deliveries.map(() => ({ changes: [], event: "registered" }));
      },
    },
  );
  const { deliveries } = at.store;
  for (let n = 0; n < 2; n += 1) {
    const delivery = newDelivery(at.site, "register", "documents", "registry");
    await at.store.commit([deliveries.add(delivery)]);
    at.loop.wake();
    await until("registered", () => deliveries.find(delivery.id)?.state === "delivered");
  }
});

test("so does what another process has put off", async () => {
  const folder = newFolder();
  const before = await looping(
    folder,
    () => 5 * yearMs,
    () => "PEER_UNREACHABLE",
  );
  await before.store.commit([
    before.store.deliveries.add(newDelivery(before.site, "receipt", "incoming", "hospital-a")),
  ]);
  before.loop.wake();
  await until("tried", () => (before.first()?.attempts ?? 0) > 0);
  await stops.pop()?.();
  const after = await looping(
    folder,
    () => 0,
    () => undefined,
  );
  await until("delivered", () => after.first()?.state === "delivered");
});

test("what comes after a start with a clock that was set right does not overtake what waits for the same patient", async () => {
  const folder = newFolder();
  const [sent, ids]: [string[], string[]] = [[], []];
  const add = async (at: Awaited<ReturnType<typeof looping>>): Promise<void> => {
    const delivery = { ...newDelivery(at.site, "receipt", "incoming", "hospital-a"), order: "a patient" };
    ids.push(delivery.id);
    await at.store.commit([at.store.deliveries.add(delivery)]);
    at.loop.wake();
  };
  const before = await looping(
    folder,
    () => 3_600_000,
    () => "PEER_UNREACHABLE",
  );
  await add(before);
  await until("tried", () => (before.first()?.attempts ?? 0) > 0);
  await stops.pop()?.();
  let isDown = true;
  const after = await looping(
    folder,
    () => 0,
    ({ id }) => {
      if (isDown) return "PEER_UNREACHABLE";
      sent.push(id);
      return undefined;
    },
  );
  await add(after);
  isDown = false;
  await until("both are delivered", () => sent.length === 2);
  expect(sent).toEqual(ids);
});

test("a clock that is set ahead by years makes nothing too old to be tried again", async () => {
  let offset = 0;
  const at = await looping(
    newFolder(),
    () => offset,
    () => "PEER_UNREACHABLE",
  );
  await at.store.commit([at.store.deliveries.add(newDelivery(at.site, "receipt", "incoming", "hospital-a"))]);
  at.loop.wake();
  await until("tried", () => (at.first()?.attempts ?? 0) > 0);
  const tried = at.first()?.attempts ?? 0;
  offset = 5 * yearMs;
  at.loop.wake();
  await until(
    "tried again, or parked",
    () => (at.first()?.attempts ?? 0) > tried + 2 || at.first()?.state === "parked",
  );
  expect(at.first()?.state).not.toBe("parked");
});

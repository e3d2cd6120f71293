/** One process over a large store, measured from its first line on: `search`, `start` or `drain` FOLDER KEY UNITS. */
import { type Alone, openDeliveryLoop, type Send } from "../../pipeline/delivery.ts";
import { type Searched, searchJournal } from "../../pipeline/search.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStopped } from "../../pipeline/stops.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import { type Done, rssOf } from "../harness.ts";

const [, , work = "", folder = "", key = "", count = "1"] = process.argv;
const units = Number(count);
const rows = 1_000_000;
const page = 100;

const open = (): Promise<Store> => openStore({ folder, key: Buffer.from(key, "hex"), now: () => new Date() });
const tailOf = (times: number[]): number =>
  times.sort((one, other) => one - other)[Math.floor(times.length * 0.99)] ?? 0;

const works: Readonly<Record<string, () => Promise<Done>>> = {
  search: async () => {
    const store = await open();
    const kinds: readonly ((n: number) => Partial<Searched>)[] = [
      (n) => ({ controlId: `C${n}` }),
      (n) => ({ patient: String(n % 50_000) }),
      (n) => ({ accession: String(n % 200_000) }),
      () => ({ state: "refused" }),
      () => ({}),
      (n) => ({ patient: String(n % 50_000), state: "refused" }),
      (n) => ({
        after: store.search.find({ by: { kind: "controlId", value: `C${n}` }, from: "", before: "g", limit: 1 })[0],
      }),
    ];
    const times: number[] = [];
    const started = performance.now();
    for (let n = 0; n < units; n += 1) {
      const row = (n * 7_919_993) % rows;
      const searched = kinds[n % kinds.length]?.(row) ?? {};
      const before = performance.now();
      const { found } = searchJournal(store, { ...searched, limit: page });
      times.push(performance.now() - before);
      if (found.length === 0 && searched.state === undefined)
        throw new Error(`${JSON.stringify(searched)}: nothing found`);
    }
    const seconds = (performance.now() - started) / 1000;
    await store.close();
    return { units, seconds, tailMs: tailOf(times) };
  },
  start: async () => {
    const times: number[] = [];
    for (let n = 0; n < units; n += 1) {
      const started = performance.now();
      const store = await open();
      const first = Promise.withResolvers<void>();
      const loop = loopOver(store, async () => {
        first.resolve();
        return await new Promise<never>((_, reject) => setTimeout(() => reject(new Error("not now")), 1));
      });
      await first.promise;
      times.push(performance.now() - started);
      await loop.stop();
      await store.close();
    }
    return { units, seconds: times.reduce((sum, ms) => sum + ms, 0) / 1000, tailMs: Math.max(...times) };
  },
  drain: async () => {
    const store = await open();
    const done = Promise.withResolvers<void>();
    let sent = 0;
    const started = performance.now();
    const loop = loopOver(store, async () => {
      sent += 1;
      if (sent === units) done.resolve();
      return { changes: [], event: "delivered" };
    });
    await done.promise;
    const seconds = (performance.now() - started) / 1000;
    await loop.stop();
    await store.close();
    return { units, seconds };
  },
};

/** The product's loop to a destination that takes each at once, on as many connections as a system may have by default. */
function loopOver(store: Store, send: Send) {
  const retry = { first: 1_000, max: 300_000, for: 14 * 86_400_000 };
  const systems = { his: { mllp: { connect: {}, connections: 4, ambiguous: "retry" } } };
  const site = {
    ...{ store, log: () => undefined, metrics: { passed: () => undefined }, now: () => new Date() },
    ...{ signal: new AbortController().signal, stopped: openStopped(store) },
    config: { delivery: { retry }, own: { systems } },
  } as unknown as Site;
  return openDeliveryLoop(site, { message: send } as unknown as Alone<object>, {});
}

const done = await works[work]?.();
const { user, system } = process.cpuUsage();
process.stdout.write(JSON.stringify({ ...done, cpuMs: (user + system) / 1000, rssMb: rssOf(process.pid) }));

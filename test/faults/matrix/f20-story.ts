/** F20: the whole story, HIS A and PACS A to HIS B and PACS B, while houses are killed, lose their power and their peers fall silent. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { type Disk, makeDisk } from "../disk.ts";
import { openLoad } from "../load.ts";
import { openNetwork } from "../network.ts";
import { openExchange, siteNames } from "./exchange.ts";
import { openStudies } from "./studies.ts";
import type { Trial } from "./trial.ts";

const events = 12;
const connections = 4;
const mebibytes = 512;
const silentMs = 6_000;

export const story: Trial = {
  id: "F20",
  fault: `the whole story under ${events} kills, power cuts and black holes at moments of the seed`,
  criterion: "bytes equal, every store verified, registry = repository = what A registered",
  run: async ({ random, told }) => {
    using network = openNetwork();
    using disk: Disk = makeDisk(mebibytes);
    await using exchange = await openExchange({ data: { "hospital-a": disk.path }, receivers: network });
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "STORY.", { perPatient: 5, isInsisting: true, everyMs: 300, signal });
    const studies = openStudies(exchange);
    const done: string[] = [];
    const kill = async (site: (typeof siteNames)[number]): Promise<void> => {
      await exchange.house(site).end("SIGKILL");
      await exchange.start(site);
      done.push(`kill ${site}`);
    };
    const ways: readonly (() => Promise<void>)[] = [
      () => kill(siteNames[random(siteNames.length)] ?? "registry"),
      async () => {
        disk.cut();
        await exchange.house("hospital-a").end("SIGKILL");
        disk.restore();
        await exchange.start("hospital-a");
        done.push("power cut hospital-a");
      },
      async () => {
        const name = random(2) === 0 ? "his" : "pacs";
        const again = network.silence(network[name]);
        await wait(silentMs);
        again();
        done.push(`black hole ${name}`);
      },
      async () => {
        await exchange.resetReceivers();
        done.push("reset of HIS B and PACS B");
      },
    ];
    for (let n = 0; n < events; n += 1) {
      const before = load.acknowledged.size;
      await until("load is under way", () => load.acknowledged.size > before + 6, 60_000);
      await wait(random(1_500));
      await ways[random(ways.length)]?.();
      told(`${done.at(-1)}, ${load.acknowledged.size + studies.acknowledged.size} acknowledged`);
    }
    await Promise.all([load.stop(), studies.stop()]);
    const ledgers = [load, studies];
    const drainedMs = await exchange.drain(ledgers);
    const { admin } = exchange.house("hospital-a");
    const { records } = await admin.get<{ records: Record<string, number> }>("/counts");
    const registered = entriesAt(exchange.homes.registry.data);
    const verified = await Promise.all(siteNames.map((site) => exchange.verify(site)));
    return await exchange.figures(ledgers, drainedMs, {
      notes: [
        [...Map.groupBy(done, (what) => what)].map(([what, all]) => `${all.length} × ${what}`).join(", "),
        `${records.registered} records registered, ${registered} entries at the registry`,
      ],
      criteria: {
        "semrs verify finds nothing damaged at any site": verified.every(({ exit }) => exit === 0),
        "registry = repository": records.registered === registered,
      },
    });
  },
};

/** Rows of the registry's own table. */
function entriesAt(data: string): number {
  const db = new DatabaseSync(join(data, "semrs.db"), { readOnly: true });
  try {
    return Number(db.prepare("SELECT count(*) AS n FROM entry").get()?.n);
  } finally {
    db.close();
  }
}

/** F5: a disk that takes 300 ms longer for each fsync. */
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import { injectSyncs } from "./strace.ts";
import type { Trial } from "./trial.ts";

const connections = 8;
const slowMs = 20_000;
/** What an interface engine has by default. */
const patienceSeconds = 30;

export const slow: Trial = {
  id: "F5",
  fault: "fsync takes 300 ms more, for 20 s under load",
  criterion: "senders wait; nothing is sent twice; it stays ready",
  run: async () => {
    await using exchange = await openExchange();
    const { his, process: a } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "SLOW.", {
      perPatient: 5,
      isInsisting: true,
      patience: patienceSeconds,
      signal,
    });
    await until("load is under way", () => load.acknowledged.size > 30, 60_000);
    const release = await injectSyncs(a.pid ?? 0, "delay_enter=300000");
    const before = load.acknowledged.size;
    await wait(slowMs);
    const [during, ready] = [load.acknowledged.size - before, await exchange.ready("hospital-a")];
    await release();
    await load.stop();
    const drainedMs = await exchange.drain([load]);
    const again = load.tries() - load.sent.size;
    return await exchange.figures([load], drainedMs, {
      notes: [`${during} acknowledged in the ${slowMs / 1000} s, ${again} sent again`],
      criteria: {
        "it goes on accepting": during > 0,
        "no message had to be sent again": again === 0,
        "no duplicates": exchange.count([load]).duplicates === 0,
        "it is ready meanwhile": ready.startsWith("200"),
      },
    });
  },
};

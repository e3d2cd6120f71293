/** F9: a slow cable between hospital B and its systems, and systems that break off in mid-sentence. */
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openNetwork } from "../network.ts";
import { openExchange } from "./exchange.ts";
import { openStudies } from "./studies.ts";
import type { Trial } from "./trial.ts";

const rate = "2mbit";
const resets = 6;
const connections = 4;
/** What hospital B may have on the wire: four messages and four associations. */
const onTheWire = 4 + 4;

export const cable: Trial = {
  id: "F9",
  fault: `cable of ${rate} to HIS B and PACS B, ${resets} connections broken off under load`,
  criterion: `duplicates ≤ on the wire × resets`,
  run: async ({ random }) => {
    using network = openNetwork();
    await using exchange = await openExchange({ receivers: network });
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "CABLE.", { perPatient: 5, isInsisting: true, everyMs: 300, signal });
    const studies = openStudies(exchange);
    await until("load is under way", () => exchange.arrived().length > 10, 60_000);
    const fast = network.slow(rate);
    for (let n = 1; n <= resets; n += 1) {
      await wait(1_500 + random(2_000));
      await exchange.resetReceivers();
    }
    fast();
    await Promise.all([load.stop(), studies.stop()]);
    const ledgers = [load, studies];
    const drainedMs = await exchange.drain(ledgers);
    const { duplicates } = exchange.count(ledgers);
    return await exchange.figures(ledgers, drainedMs, {
      criteria: { [`${duplicates} duplicates ≤ ${onTheWire * resets}`]: duplicates <= onTheWire * resets },
    });
  },
};

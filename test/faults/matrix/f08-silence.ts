/** F8: HIS B is there and says nothing: its packets go into a black hole. */
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openNetwork } from "../network.ts";
import { openExchange } from "./exchange.ts";
import { openStudies } from "./studies.ts";
import type { Trial } from "./trial.ts";

const silentMs = 45_000;
const connections = 4;

export const silence: Trial = {
  id: "F8",
  fault: `black hole in place of HIS B for ${silentMs / 1000} s (network namespace)`,
  criterion: "PACS B and hospital A are unaffected",
  run: async () => {
    using network = openNetwork();
    await using exchange = await openExchange({ receivers: network });
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "HOLE.", { perPatient: 5, isInsisting: true, everyMs: 300, signal });
    const studies = openStudies(exchange);
    const images = () => exchange.arrived().filter(({ id }) => id.startsWith("2.25.")).length;
    const reports = () => exchange.arrived().length - images();
    await until("load is under way", () => reports() > 10 && images() > 6, 60_000);
    const again = network.silence(network.his);
    // What was on the cable has come.
    await wait(500);
    const before = { images: images(), reports: reports(), acknowledged: load.acknowledged.size };
    await wait(silentMs);
    const during = {
      images: images() - before.images,
      reports: reports() - before.reports,
      acknowledged: load.acknowledged.size - before.acknowledged,
    };
    const ready = await exchange.ready("hospital-b");
    again();
    await Promise.all([load.stop(), studies.stop()]);
    const ledgers = [load, studies];
    const drainedMs = await exchange.drain(ledgers);
    return await exchange.figures(ledgers, drainedMs, {
      notes: [
        `meanwhile ${during.acknowledged} acknowledged at A, ${during.images} images at PACS B, ${during.reports} reports at HIS B`,
      ],
      criteria: {
        "PACS B goes on": during.images > 0,
        "hospital A accepts on": during.acknowledged > 0,
        "nothing reaches HIS B meanwhile": during.reports === 0,
        "B stays ready": ready.startsWith("200"),
        "the log names it": /"event":"deliver\.deferred"[^\n]*"peer":"his"|"peer":"his"[^\n]*deliver\.deferred/.test(
          exchange.log(),
        ),
      },
    });
  },
};

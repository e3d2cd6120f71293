/** F7: an operator stops hospital A under load. */
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import { openStudies } from "./studies.ts";
import type { Trial } from "./trial.ts";

const rounds = 3;
const connections = 8;
const graceMs = 10_000;

export const term: Trial = {
  id: "F7",
  fault: `SIGTERM × ${rounds} under load`,
  criterion: "exit 0 within the grace of 10 s",
  run: async () => {
    await using exchange = await openExchange();
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "TERM.", { perPatient: 5, isInsisting: true, everyMs: 50, signal });
    const studies = openStudies(exchange);
    const exits: string[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const before = load.acknowledged.size;
      await until("load is under way", () => load.acknowledged.size > before + 30, 60_000);
      const started = performance.now();
      const exit = await exchange.house("hospital-a").end("SIGTERM");
      const ms = Math.round(performance.now() - started);
      exits.push(`${exit} after ${ms} ms${ms > graceMs ? " (late)" : ""}`);
      await exchange.start("hospital-a");
    }
    await Promise.all([load.stop(), studies.stop()]);
    const ledgers = [load, studies];
    const drainedMs = await exchange.drain(ledgers);
    return await exchange.figures(ledgers, drainedMs, {
      notes: [`exit ${exits.join(", ")}`],
      criteria: { "exit 0 within 10 s": exits.every((each) => each.startsWith("0 ") && !each.includes("late")) },
    });
  },
};

/** F1: SIGKILL under load, hospital A and hospital B in turn. */
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import { orthanc } from "./peer-orthanc.ts";
import { postgres } from "./peer-postgres.ts";
import { killed } from "./peers.ts";
import { openStudies } from "./studies.ts";
import { mutantMs, type Trial } from "./trial.ts";

const kills = 15;
const connections = 8;
/** What hospital B may have sent without a mark that it arrived: one connection of its HIS and 32 made ready, 4 studies. */
const onTheWire = 33 + 4;
const readyMs = 2_000;

export const kill: Trial = {
  id: "F1",
  fault: `SIGKILL × ${kills} under load, hospital A and B in turn`,
  criterion: "duplicates ≤ on the wire × kills of B; ready < 2 s",
  finds: ["ack-before-commit"],
  peers: { Orthanc: killed(orthanc, kills), PostgreSQL: killed(postgres, kills) },
  run: async ({ random, env, isMutant, told }) => {
    await using exchange = await openExchange({ env: { "hospital-a": env, "hospital-b": env } });
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "KILL.", { perPatient: 5, isInsisting: true, everyMs: 300, signal });
    const studies = openStudies(exchange);
    const starts: number[] = [];
    for (let n = 1; n <= kills; n += 1) {
      const site = n % 2 === 1 ? "hospital-a" : "hospital-b";
      const before = load.acknowledged.size;
      await until("load is under way", () => load.acknowledged.size > before + connections, 60_000);
      await wait(random(700));
      await exchange.house(site).end("SIGKILL");
      starts.push(await exchange.start(site));
      told(`kill ${n}: ready in ${Math.round(starts.at(-1) ?? 0)} ms, ${load.acknowledged.size} acknowledged`);
    }
    await Promise.all([load.stop(), studies.stop()]);
    const ledgers = [load, studies];
    const drainedMs = await exchange.drain(ledgers, isMutant ? mutantMs : undefined);
    const { duplicates } = exchange.count(ledgers);
    const slowest = Math.round(Math.max(...starts));
    const median = Math.round([...starts].sort((a, b) => a - b)[kills >> 1] ?? 0);
    return await exchange.figures(ledgers, drainedMs, {
      notes: [`ready after a kill in ${median} ms (median), ${slowest} ms at most`],
      criteria: {
        [`${duplicates} duplicates ≤ ${onTheWire * (kills >> 1)}`]: duplicates <= onTheWire * (kills >> 1),
        [`ready in ${median} ms < ${readyMs} ms in the median`]: median < readyMs,
      },
    });
  },
};

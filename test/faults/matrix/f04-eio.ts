/** F4: an fsync that fails under load. It may succeed the next time without having written, so nobody may ask again. */
import { once } from "node:events";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import { injectSyncs } from "./strace.ts";
import type { Trial } from "./trial.ts";

const rounds = 3;
const connections = 8;

export const eio: Trial = {
  id: "F4",
  fault: `fsync answers EIO under load × ${rounds}`,
  criterion: "intake stops, non-zero exit, nothing lost after the restart",
  run: async ({ told }) => {
    await using exchange = await openExchange();
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "EIO.", { perPatient: 5, isInsisting: true, everyMs: 100, signal });
    const exits: (number | null)[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      const before = load.acknowledged.size;
      await until("load is under way", () => load.acknowledged.size > before + 30, 60_000);
      const { process: a } = exchange.house("hospital-a");
      const ended = once(a, "exit");
      const release = await injectSyncs(a.pid ?? 0, "error=EIO");
      const [exit] = (await ended) as [number | null];
      await release();
      exits.push(exit);
      told(`round ${round}: exit ${exit}, ${load.acknowledged.size} acknowledged`);
      await exchange.start("hospital-a");
    }
    await load.stop();
    const drainedMs = await exchange.drain([load]);
    return await exchange.figures([load], drainedMs, {
      notes: [`exit codes ${exits.join(", ")}`],
      criteria: {
        "it ends by itself, not with 0": exits.every((exit) => exit !== null && exit !== 0),
        "the log names it": /"event":"engine\.failed","code":"STORE_DAMAGED"/.test(exchange.log()),
      },
    });
  },
};

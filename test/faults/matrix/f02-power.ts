/** F2: power cuts under load of the disk that hospital A's data is on. */
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { makeDisk } from "../disk.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import { orthanc } from "./peer-orthanc.ts";
import { postgres } from "./peer-postgres.ts";
import { withoutPower } from "./peers.ts";
import { openStudies } from "./studies.ts";
import { mutantMs, type Trial } from "./trial.ts";

const cuts = 3;
const connections = 8;
const mebibytes = 512;

export const power: Trial = {
  id: "F2",
  fault: `power cut × ${cuts} under load (ext4 shut down without a log flush)`,
  criterion: "the store opens, chain intact (`semrs verify`)",
  finds: ["ack-before-commit", "synchronous-normal", "synchronous-off"],
  peers: { Orthanc: withoutPower(orthanc, cuts), PostgreSQL: withoutPower(postgres, cuts) },
  run: async ({ random, env, isMutant, told }) => {
    using disk = makeDisk(mebibytes);
    await using exchange = await openExchange({ data: { "hospital-a": disk.path }, env: { "hospital-a": env } });
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "CUT.", { perPatient: 5, isInsisting: true, everyMs: 50, signal });
    const studies = openStudies(exchange);
    for (let n = 1; n <= cuts; n += 1) {
      const before = load.acknowledged.size;
      await until("load is under way", () => load.acknowledged.size > before + 60, 60_000);
      await wait(random(1_500));
      // Nothing acknowledged just before gets away over the network: B stands still.
      exchange.house("hospital-b").process.kill("SIGSTOP");
      await wait(300);
      disk.cut();
      await exchange.house("hospital-a").end("SIGKILL");
      disk.restore();
      exchange.house("hospital-b").process.kill("SIGCONT");
      const ms = await exchange.start("hospital-a");
      told(`cut ${n}: ready in ${Math.round(ms)} ms, ${load.acknowledged.size} acknowledged`);
    }
    await Promise.all([load.stop(), studies.stop()]);
    const ledgers = [load, studies];
    const drainedMs = await exchange.drain(ledgers, isMutant ? mutantMs : undefined);
    const verified = await exchange.verify("hospital-a");
    return await exchange.figures(ledgers, drainedMs, {
      notes: [`semrs verify: ${verified.out.trim()}`],
      criteria: { "semrs verify finds nothing damaged": verified.exit === 0 },
    });
  },
};

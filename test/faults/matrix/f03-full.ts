/** F3: hospital A's disk fills up while its partner is down; then the partner comes back, and only later is there space again. */
import { until } from "../../sites.ts";
import { makeDisk } from "../disk.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import { mutantMs, type Trial } from "./trial.ts";

const mebibytes = 400;
/** Less than the reserve of 64. */
const leftMebibytes = 40;
const connections = 8;
const refusals = 20;

export const full: Trial = {
  id: "F3",
  fault: "disk full with a queue, then freed",
  criterion: "AR while full; what is queued drains while full; accepts again; no duplicates",
  finds: ["no-reserve"],
  run: async ({ env, isMutant }) => {
    using disk = makeDisk(mebibytes);
    await using exchange = await openExchange({ data: { "hospital-a": disk.path }, env: { "hospital-a": env } });
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    // Large bodies: without a reserve the last of the space is soon gone.
    const large = { perPatient: 5, isInsisting: true, bodyBytes: 150_000, signal };
    const load = openLoad(his, connections, "FULL.", large);
    await until("load is under way", () => load.acknowledged.size > 16, 60_000);
    await exchange.house("hospital-b").end("SIGKILL");
    const before = load.acknowledged.size;
    await until("there is a queue", () => load.acknowledged.size > before + 8, 60_000);
    const release = disk.fill(leftMebibytes);
    await until("it says that it is full", () => (load.refused.get("PEER_BUSY") ?? 0) > refusals, 120_000);
    const whileFull = await exchange.ready("hospital-a");
    const queued = exchange.count([load]).lost;
    await exchange.start("hospital-b");
    const drainedFullMs = await exchange.drain([load], isMutant ? mutantMs : undefined);
    const stillQueued = exchange.count([load]).lost + (await exchange.waiting("hospital-a"));
    const atFull = load.acknowledged.size;
    release();
    await until("it accepts again", () => load.acknowledged.size > atFull + 16, 60_000).catch(() => undefined);
    const isAccepting = load.acknowledged.size > atFull + 16;
    await load.stop();
    const drainedMs = await exchange.drain([load], isMutant ? mutantMs : undefined);
    const { duplicates } = exchange.count([load]);
    const exit = await exchange.house("hospital-a").end("SIGTERM");
    await exchange.start("hospital-a");
    return await exchange.figures([load], drainedMs, {
      notes: [
        `${queued} queued when it was full, drained in ${(drainedFullMs / 1000).toFixed(1)} s while it was`,
        `answers while full: ${[...load.refused].map(([code, count]) => `${count} × ${code}`).join(", ")}`,
      ],
      criteria: {
        "/health/ready says that the disk is full": /^503 [\s\S]*fail disk/.test(whileFull),
        "what was queued drains while the disk is full": stillQueued === 0,
        "every refusal is AR (PEER_BUSY)": [...load.refused.keys()].join() === "PEER_BUSY",
        "it accepts again": isAccepting,
        "no duplicates": duplicates === 0,
        "the log names it": exchange.log().includes("STORE_FULL"),
        "SIGTERM ends it with 0": exit === 0,
      },
    });
  },
};

/** F11: frames that never end, on many connections, against a hospital A that may have little memory. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const mebibytes = 220;
const flood = { connections: 400, bytes: 900_000, ms: 15_000 };
const connections = 4;

export const memory: Trial = {
  id: "F11",
  fault: `${flood.connections} connections of unfinished frames of ${flood.bytes} octets, ${mebibytes} MB in a control group`,
  criterion: "not ended by the kernel; good clients are served",
  finds: ["no-budget"],
  run: async ({ env, isMutant }) => {
    const group = `/sys/fs/cgroup/memory/semrs-faults-${process.pid}`;
    mkdirSync(group);
    writeFileSync(`${group}/memory.limit_in_bytes`, `${mebibytes}M`);
    // A house in so little memory is told so; the limits of connections are lifted, so that the budget is what holds.
    const edit = (yaml: string): string =>
      yaml
        .replace("charset: from-msh-18", "charset: from-msh-18, maxConnections: 1000, maxPerAddress: 1000")
        .replace("repository: { listen", "limits: { held: 32MiB }\n    repository: { listen");
    try {
      const enter = ["sh", "-c", `echo $$ > ${group}/cgroup.procs; exec "$@"`, "sh"];
      await using exchange = await openExchange({ under: { "hospital-a": enter }, edit, env: { "hospital-a": env } });
      const { his, process: a } = exchange.house("hospital-a");
      const { signal } = exchange;
      const load = openLoad(his, connections, "MEMORY.", { perPatient: 5, isInsisting: true, everyMs: 100, signal });
      await until("load is under way", () => load.acknowledged.size > 20, 60_000);
      const frame = Buffer.alloc(flood.bytes, "A");
      frame[0] = 0x0b;
      const sockets: Socket[] = Array.from({ length: flood.connections }, () => {
        const socket = connect(his.port, his.host).on("error", () => undefined);
        socket.once("connect", () => socket.write(frame));
        return socket;
      });
      const before = load.acknowledged.size;
      await wait(flood.ms);
      const during = load.acknowledged.size - before;
      const isAlive = a.exitCode === null && a.signalCode === null;
      const peak = Math.round(Number(readFileSync(`${group}/memory.max_usage_in_bytes`, "utf8")) / 2 ** 20);
      for (const socket of sockets) socket.destroy();
      if (!isAlive)
        return { ...exchange.count([load]), drainedMs: null, notes: [], failures: [`ended by ${a.signalCode}`] };
      await load.stop();
      const drainedMs = await exchange.drain([load], isMutant ? 20_000 : undefined);
      return await exchange.figures([load], drainedMs, {
        notes: [`${peak} MB at most with the page cache, ${during} acknowledged in ${flood.ms / 1000} s of it`],
        criteria: { "good clients are served": during > 0 },
      });
    } finally {
      rmdirSync(group);
    }
  },
};

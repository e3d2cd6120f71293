/** F11: frames that never end, on many connections, against a hospital A that may have little memory. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const mebibytes = 220;
const flood = { connections: 400, perAddress: 50, bytes: 900_000, ms: 60_000 };
/** Messages of good clients in the midst of it. */
const served = 60;
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
    // A house in so little memory is told so; the limits of connections are the ones that come with it.
    const edit = (yaml: string): string =>
      yaml.replaceAll("repository: { listen", "limits: { held: 16MiB }\n    repository: { listen");
    try {
      const enter = ["sh", "-c", `echo $$ > ${group}/cgroup.procs; exec "$@"`, "sh"];
      await using exchange = await openExchange({ under: { "hospital-a": enter }, edit, env: { "hospital-a": env } });
      const { his, process: a } = exchange.house("hospital-a");
      const { signal } = exchange;
      const load = openLoad(his, connections, "MEMORY.", { perPatient: 5, isInsisting: true, everyMs: 100, signal });
      await until("load is under way", () => load.acknowledged.size > 20, 60_000);
      const frame = Buffer.alloc(flood.bytes, "A");
      frame[0] = 0x0b;
      const sockets: Socket[] = Array.from({ length: flood.connections }, (_, n) => {
        const localAddress = `127.0.1.${1 + Math.floor(n / flood.perAddress)}`;
        const socket = connect({ ...his, localAddress }).on("error", () => undefined);
        socket.once("connect", () => socket.write(frame));
        return socket;
      });
      const before = load.acknowledged.size;
      const isAlive = () => a.exitCode === null && a.signalCode === null;
      const isServed = () => load.acknowledged.size >= before + served;
      await until("served, or ended", () => isServed() || !isAlive(), flood.ms).catch(() => undefined);
      const during = load.acknowledged.size - before;
      for (const socket of sockets) socket.destroy();
      if (!isAlive())
        return { ...exchange.count([load]), drainedMs: null, notes: [], failures: [`ended by ${a.signalCode}`] };
      await load.stop();
      const drainedMs = await exchange.drain([load], isMutant ? 20_000 : undefined);
      const peak = Math.round(Number(readFileSync(`${group}/memory.max_usage_in_bytes`, "utf8")) / 2 ** 20);
      return await exchange.figures([load], drainedMs, {
        notes: [`${peak} MB at most with the page cache, ${during} acknowledged in the midst of it`],
        criteria: { "good clients are served": during >= served },
      });
    } finally {
      rmdirSync(group);
    }
  },
};

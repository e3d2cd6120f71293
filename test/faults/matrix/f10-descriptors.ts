/** F10: hospital A may open few files, and somebody holds connections open that it cannot have. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const descriptors = 128;
const idle = 200;
const connections = 4;

export const fewDescriptors: Trial = {
  id: "F10",
  fault: `${descriptors} file descriptors, ${idle} idle connections`,
  criterion: "no crash; clients that are connected are served; all are when the others are gone",
  run: async () => {
    const under = { "hospital-a": ["prlimit", `--nofile=${descriptors}:${descriptors}`] };
    // The limits of connections are lifted, so that descriptors are what is short.
    const edit = (yaml: string): string =>
      yaml.replace("charset: from-msh-18", "charset: from-msh-18, maxConnections: 1000, maxPerAddress: 1000");
    await using exchange = await openExchange({ under, edit });
    const { his, process: a } = exchange.house("hospital-a");
    const { signal } = exchange;
    const load = openLoad(his, connections, "FEW.", { perPatient: 5, isInsisting: true, everyMs: 100, signal });
    await until("load is under way", () => load.acknowledged.size > 20, 60_000);
    const sockets: Socket[] = [];
    for (let n = 0; n < idle; n += 1) {
      const socket = connect(his.port, his.host).on("error", () => undefined);
      sockets.push(socket);
      await once(socket, "connect").catch(() => undefined);
    }
    const before = load.acknowledged.size;
    await until("served meanwhile", () => load.acknowledged.size > before + 20, 60_000).catch(() => undefined);
    const during = load.acknowledged.size - before;
    for (const socket of sockets) socket.destroy();
    const gone = load.acknowledged.size;
    await until("served again", () => load.acknowledged.size > gone + 20, 60_000);
    await load.stop();
    const drainedMs = await exchange.drain([load]);
    return await exchange.figures([load], drainedMs, {
      notes: [`${during} acknowledged while there were no descriptors`],
      criteria: { "the process goes on": a.exitCode === null, "connected clients are served": during > 20 },
    });
  },
};

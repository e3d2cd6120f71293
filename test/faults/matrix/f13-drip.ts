/** F13: many connections to every listener of hospital A that say a little now and then, and never finish. */
import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const each = 150;
const perAddress = 50;
const dripMs = 500;
const patienceMs = 60_000;
const connections = 4;

/** What is said at first; an octet follows every half second. */
const beginnings = {
  A_HIS: Buffer.from("\u000bMSH|"),
  A_PACS: Buffer.from([1, 0, 0, 0, 0, 200]),
  A_PORT: Buffer.from([0x16, 3, 1, 2, 0, 1]),
} as const;

export const drip: Trial = {
  id: "F13",
  fault: `${each} dripping connections each to MLLP, DICOM and HTTPS`,
  criterion: "all are cut; good clients are served meanwhile",
  run: async () => {
    await using exchange = await openExchange();
    const { his } = exchange.house("hospital-a");
    const { signal, env } = exchange;
    const load = openLoad(his, connections, "DRIP.", { perPatient: 5, isInsisting: true, everyMs: 200, signal });
    await until("load is under way", () => load.acknowledged.size > 10, 60_000);
    const before = load.acknowledged.size;
    const started = performance.now();
    const open = new Map<string, Set<Socket>>();
    const sockets = Object.entries(beginnings).flatMap(([port, bytes]) =>
      Array.from({ length: each }, (_, n) => {
        const localAddress = `127.0.1.${1 + Math.floor(n / perAddress)}`;
        const socket = connect({ host: "127.0.0.1", port: Number(env[port]), localAddress });
        const left = open.get(port) ?? new Set();
        open.set(port, left.add(socket));
        const timer = setInterval(() => socket.write("x"), dripMs);
        socket.on("error", () => undefined);
        socket.resume().once("connect", () => socket.write(bytes));
        socket.once("close", () => {
          clearInterval(timer);
          left.delete(socket);
        });
        return socket;
      }),
    );
    const isCut = () => [...open.values()].every(({ size }) => size === 0);
    await until("all are cut", isCut, patienceMs).catch(() => undefined);
    const cutMs = performance.now() - started;
    const left = [...open].filter(([, { size }]) => size > 0).map(([port, { size }]) => `${size} of ${port}`);
    await wait(1_000);
    const during = load.acknowledged.size - before;
    for (const socket of sockets) socket.destroy();
    await load.stop();
    const drainedMs = await exchange.drain([load]);
    return await exchange.figures([load], drainedMs, {
      notes: [`all cut after ${(cutMs / 1000).toFixed(0)} s`, `${during} acknowledged meanwhile`],
      criteria: {
        [`all are cut within ${patienceMs / 1000} s (left: ${left.join(", ") || "none"})`]: left.length === 0,
        "good clients are served": during > 10,
      },
    });
  },
};

/** The same faults, done to programs that keep what they are given as we do. */
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { makeDisk } from "../disk.ts";
import type { Figures, Run } from "./trial.ts";

export type Peer = {
  readonly name: string;
  /** Started with its data in a folder, its own if none is said. */
  open(under?: string): Promise<OpenPeer>;
};
export type OpenPeer = {
  /** What it said it keeps: digest by id. */
  readonly acknowledged: ReadonlyMap<string, string>;
  start(): Promise<void>;
  kill(): Promise<void>;
  /** Sends until what comes back is called. */
  load(): () => Promise<void>;
  /** What it has: digest by id. */
  held(): Promise<ReadonlyMap<string, string>>;
  close(): Promise<void>;
};

const underWay = 60;

/** Acknowledged against held; something that is there with another digest, or cannot be read, is corrupt. */
async function count({ acknowledged, held }: OpenPeer): Promise<Figures> {
  const kept = await held();
  const entries = [...acknowledged];
  return {
    acknowledged: entries.length,
    lost: entries.filter(([id]) => !kept.has(id)).length,
    corrupt: entries.filter(([id, digest]) => kept.has(id) && kept.get(id) !== digest).length,
    duplicates: 0,
    drainedMs: null,
    notes: [],
    failures: [],
  };
}

/** So many kills under load. */
export const killed =
  (peer: Peer, kills: number): Run =>
  async ({ random }) => {
    const opened = await peer.open();
    try {
      for (let n = 0; n < kills; n += 1) {
        const before = opened.acknowledged.size;
        const stop = opened.load();
        await until("load is under way", () => opened.acknowledged.size > before + underWay, 60_000);
        await wait(random(700));
        await opened.kill();
        await stop();
        await opened.start();
      }
      return await count(opened);
    } finally {
      await opened.close();
    }
  };

/** So many power cuts under load. */
export const withoutPower =
  (peer: Peer, cuts: number): Run =>
  async ({ random }) => {
    using disk = makeDisk(512);
    const opened = await peer.open(disk.path);
    try {
      for (let n = 0; n < cuts; n += 1) {
        const before = opened.acknowledged.size;
        const stop = opened.load();
        await until("load is under way", () => opened.acknowledged.size > before + underWay, 60_000);
        await wait(random(1_500));
        disk.cut();
        await opened.kill();
        await stop();
        disk.restore();
        await opened.start();
      }
      return await count(opened);
    } finally {
      await opened.close();
    }
  };

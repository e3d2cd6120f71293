/** However much waits for a report, the waiting room goes through it a few rows a turn of the loop. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openPace } from "../../pipeline/pace.ts";
import { askPacs } from "../../pipeline/pull.ts";
import { openWaitingRoom } from "../../pipeline/waiting-room.ts";
import type { Item, Store } from "../../store/store.ts";
import { testPki, until } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";
import { image } from "./waiting.ts";

const many = 3_000;

test("those that wait are gone through a few a turn, however many there are", async () => {
  const read = { now: 0, most: 0 };
  const site = await siteAlone(
    { PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-room-")), QUIET: "1h" },
    (opened) => ({
      ...opened,
      items: counted(opened.items, read),
    }),
  );
  const { store } = site;
  const since = new Date(0).toISOString();
  const [channel] = site.config.own.channels.flatMap((each) =>
    "assemble" in each && each.assemble ? [each.name] : [],
  );
  const images = Array.from({ length: many }, (_, n) =>
    image({ id: store.newId(), key: `1.2.${n}`, since, ...(channel ? { channel } : {}) }),
  );
  await store.commit(images.flatMap((each) => store.items.add(each)));
  let isOver = false;
  const turn = (): void => {
    read.now = 0;
    if (!isOver) setImmediate(turn);
  };
  turn();
  const room = openWaitingRoom(site, async () => undefined, askPacs(site), openPace());
  await until("all are a person's", () => store.items.matters({ state: "held", limit: 1 })[0]?.count === many);
  isOver = true;
  expect(read.most).toBeLessThan(many / 2);
  await room.stop();
  await store.close();
});

/** Items that tell how many were read in one turn of the loop. */
function counted(items: Store["items"], read: { now: number; most: number }): Store["items"] {
  const count = (rows: readonly Item[]): readonly Item[] => {
    read.now += rows.length;
    read.most = Math.max(read.most, read.now);
    return rows;
  };
  return {
    ...items,
    list: (query) => count(items.list(query)),
    waiting: (after, limit) => count(items.waiting(after, limit)),
  };
}

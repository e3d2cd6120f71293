/** The waiting room while somebody sets the clock: what waits has waited for as long as it has. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openPace } from "../../pipeline/pace.ts";
import { askPacs } from "../../pipeline/pull.ts";
import type { Site } from "../../pipeline/site.ts";
import { type Assembled, openWaitingRoom, type WaitingRoom } from "../../pipeline/waiting-room.ts";
import type { Item } from "../../store/store.ts";
import { testPki, until } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";
import { image, item } from "./waiting.ts";

const yearMs = 365 * 86_400_000;
let ahead = 0;
let site: Site;
let room: WaitingRoom;
const assembled: Assembled[] = [];
beforeEach(async () => {
  const real = Date.now;
  ahead = 0;
  vi.spyOn(Date, "now").mockImplementation(() => real() + ahead);
  const alone = await siteAlone({ PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-waiting-")) });
  site = { ...alone, now: () => new Date(Date.now()) };
  open();
});
afterEach(async () => {
  await room.stop();
  await site.store.close();
  assembled.length = 0;
  vi.restoreAllMocks();
});

const open = (): void => {
  const leave = async (each: Assembled): Promise<void> => {
    await site.store.commit([site.store.items.mark(each.document.id, { state: "sealed" })]);
    assembled.push(each);
  };
  room = openWaitingRoom(site, leave, askPacs(site), openPace());
};
const now = (): string => site.now().toISOString();
const keep = async (each: Item): Promise<void> => {
  await site.store.commit(site.store.items.add(each));
  room.arrived(each);
};
const stateOf = (id: string) => site.store.items.find(id)?.state;
/** A look at a document has been taken: one that waits for nothing and came behind it has left. */
const looked = async (): Promise<void> => {
  const id = site.store.newId();
  await keep(
    item({ id, key: id, channel: "documents", joins: [], patients: [id], facts: { refers: false }, since: now() }),
  );
  await until("it has left", () => assembled.some(({ document }) => document.id === id));
};

test("a document that waits for its study is neither held nor sent alone when the clock is set ahead by years", async () => {
  const document = item({ id: site.store.newId(), channel: "imaging", since: now() });
  await keep(document);
  await looked();
  ahead = 5 * yearMs;
  room.lookAgain();
  await looked();
  expect([stateOf(document.id), assembled.length]).toEqual(["waiting", 2]);
  // What came after it was set, and before anybody saw that, waits as long as another.
  await keep(item({ id: site.store.newId(), key: "k2", channel: "imaging", joins: ["study:1.3"], since: now() }));
  ahead += 5 * yearMs;
  room.lookAgain();
  await looked();
  expect(site.store.items.list({ state: "held", limit: 9 })).toEqual([]);
});

test("a study without a report is not a person's business sooner for it", async () => {
  await room.stop();
  const [young, old] = ["1.2", "1.3"].map((uid) =>
    image({ id: site.store.newId(), key: uid, channel: "imaging", joins: [`study:${uid}`], since: now() }),
  ) as [Item, Item];
  const since = new Date(Date.now() - 20 * 86_400_000).toISOString();
  await site.store.commit([young, { ...old, since }].flatMap((each) => site.store.items.add(each)));
  open();
  ahead = yearMs;
  await until("what has waited for longer is held", () => stateOf(old.id) === "held");
  expect(stateOf(young.id)).toBe("waiting");
});

/** The store's promises, on the real one: durable, atomic, sealed, one owner, a clock that does not go back. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { walkJournal } from "../../store/accept-journal.ts";
import { migrations } from "../../store/schema.ts";
import { arrival, delivery, folder, freshStore, open, put, store } from "./fresh.ts";
import { asBefore } from "./rows.ts";

freshStore();

describe("commits", () => {
  test("below the disk reserve nothing more is accepted, but what drains still goes", async () => {
    await store.close();
    await open({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    const row = arrival();
    await expect(store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }])).rejects.toMatchObject({
      code: "STORE_FULL",
    });
    await store.commit([store.deliveries.add(delivery())]);
  });

  test("those that may wait share a group, turn by turn; one alone does not wait for ever, and one that may not takes them along", async () => {
    const accept = (mayWait: boolean): Promise<void> => {
      const row = arrival();
      return store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }], mayWait);
    };
    await accept(true);
    const together: Promise<void>[] = [];
    for (let n = 0; n < 8; n += 1) {
      together.push(accept(true));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(together);
    await Promise.all([accept(true), accept(true), accept(false)]);
    const groups = [...walkJournal(join(folder, "accept.journal"))].flatMap((each) =>
      "id" in each ? [each.group] : [],
    );
    expect([...Map.groupBy(groups, (group) => group).values()].map(({ length }) => length)).toEqual([1, 8, 3]);
  });
});

describe("the data folder", () => {
  test("holds no clear text, and only its owner may read it", async () => {
    await store.commit([store.arrivals.add(arrival()), store.deliveries.add(delivery())]);
    await put(Buffer.from("陳怡君 A223456781".repeat(10_000)));
    await store.close();
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const entry of files) {
      const bytes = readFileSync(join(entry.parentPath, entry.name));
      expect(bytes.includes("陳怡君") || bytes.includes("A223456781"), entry.name).toBe(false);
    }
    expect(statSync(folder).mode & 0o077).toBe(0);
  });

  test("opens with its own key alone, and for one process at a time", async () => {
    await expect(open()).rejects.toMatchObject({ code: "ALREADY_RUNNING" });
    await store.close();
    await expect(open({ key: Buffer.alloc(32, 6) })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await open();
  });
});

test("instances that a PACS took before houses knew them by UID are known by it, and nothing else of the ledger is", async () => {
  const [record, uid] = [store.newId(), "1.2.840.10008"];
  const others = ["hospital-a 1.2.3", `${store.newId()} ${store.newId()}`, `${"z".repeat(32)} 1.2.3`, store.newId()];
  await store.commit([
    store.messages.took("pacs", `${record} ${uid}`, "2026-11-30T00:00:00Z"),
    store.messages.tookAll("x", others, "2026-11-30T00:00:00Z"),
  ]);
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  db.exec(asBefore(migrations.findIndex((each) => each.includes("'received instance'"))));
  db.close();
  await open();
  expect(store.messages.takenUnder("received instance", uid)).toEqual([record]);
  const known = new DatabaseSync(join(folder, "semrs.db"), { readOnly: true });
  expect(known.prepare("SELECT count(*) AS n FROM ledger WHERE destination = 'received instance'").get()).toEqual({
    n: 1,
  });
  known.close();
});

test("a folder of a newer version is refused, with what to do, and left as it is", async () => {
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  db.exec("PRAGMA user_version = 1000");
  await expect(open()).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringMatching(
      /semrs\.db was made by a newer semrs \(format 1000, this is \d+\); run that version/,
    ),
  });
  expect(db.prepare("PRAGMA user_version").get()).toEqual({ user_version: 1000 });
  db.close();
});

test("97 a clock behind the journal: nothing is opened until it has passed the last step again", async () => {
  const at = new Date("2026-05-04T12:00:00Z");
  store.steps.checkClock(at);
  await store.commit([
    store.steps.add({ subject: store.newId(), at: at.toISOString(), station: "open", event: "opened" }),
  ]);
  const minutesBefore = (minutes: number): Date => new Date(at.getTime() - minutes * 60_000);
  for (const now of [at, minutesBefore(5), minutesBefore(-60)]) store.steps.checkClock(now);
  expect(() => store.steps.checkClock(minutesBefore(6))).toThrow(expect.objectContaining({ code: "CLOCK_BEHIND" }));
});

/** Alerts and notices on the real store: there after a restart, gone when they are over. */
import { expect, test } from "vitest";
import type { AlertRow, Notice } from "../../store/alerts.ts";
import { arrival, delivery, freshStore, open, store } from "./fresh.ts";

freshStore();

const disk: AlertRow = { key: "disk", kind: "disk", subject: "", says: "full" };
const notice = (target: string, change: Partial<Notice> = {}): Notice => ({
  id: store.newId(),
  target,
  body: "{}",
  attempts: 0,
  due: 0,
  ...change,
});

test("an alert is open until it is resolved, and is raised once", async () => {
  await store.commit([store.alerts.raise(disk, "2026-11-28T08:00:00.000Z")]);
  await expect(store.commit([store.alerts.raise(disk, "2026-11-28T09:00:00.000Z")])).rejects.toMatchObject({
    code: "STORE_CONFLICT",
  });
  await store.close();
  await open();
  expect(store.alerts.open()).toEqual([disk]);
  await store.commit([store.alerts.resolve("disk")]);
  expect(store.alerts.open()).toEqual([]);
});

test("each target is told in order, and waits for what it has not taken", async () => {
  const [one, two, other] = [notice("a"), notice("a"), notice("b")];
  await store.commit([one, two, other].map((each) => store.alerts.tell(each)));
  expect(store.alerts.first()).toEqual([one, other]);
  await store.commit([store.alerts.again(one.id, 1, 99.5), store.alerts.told(other.id)]);
  expect(store.alerts.first()).toEqual([{ ...one, attempts: 1, due: 100 }]);
  await store.commit([store.alerts.told(one.id)]);
  expect(store.alerts.first()).toEqual([two]);
});

test("what waits is what is due or was tried, by its oldest; what a person decides is held or parked", async () => {
  const at = (minute: number) => new Date(Date.UTC(2026, 10, 28, 8, minute)).toISOString();
  expect(store.alerts.heldSince()).toBeNull();
  await store.commit(
    [
      delivery({ destination: "his", createdAt: at(5), due: 10 }),
      delivery({ destination: "his", createdAt: at(3), due: 99, attempts: 1, state: "ambiguous" }),
      delivery({ destination: "pacs", createdAt: at(1), due: 99 }),
      delivery({ destination: "pacs", createdAt: at(2), due: 0, state: "delivered" }),
      // Parked is when its last attempt failed, however long it was tried before.
      delivery({ destination: "pacs", createdAt: at(0), due: Date.parse(at(4)), state: "parked" }),
    ].map((row) => store.deliveries.add(row)),
  );
  expect(await store.scans.queues(10)).toEqual([{ destination: "his", since: Date.parse(at(3)), count: 2 }]);
  expect(store.alerts.heldSince()).toBe(Date.parse(at(4)));
});

test("what is to be done later waits from then on, and what a person released from when it was; once it has failed, since it was made", async () => {
  const at = (hour: number) => Date.UTC(2026, 10, 28, hour);
  const made = { createdAt: new Date(at(8)).toISOString() };
  const queues = [
    delivery({ ...made, destination: "asked again", due: at(12) }),
    delivery({ ...made, destination: "released", due: at(13), attempts: 7 }),
    delivery({ ...made, destination: "under way", due: at(12), attempts: 1, state: "inflight" }),
    delivery({ ...made, destination: "failed", due: at(14), attempts: 1, code: "PEER_BUSY" }),
  ];
  await store.commit(queues.map((row) => store.deliveries.add(row)));
  const since = await store.scans.queues(at(14));
  expect(Object.fromEntries(since.map((queue) => [queue.destination, queue.since]))).toEqual({
    "asked again": at(12),
    released: at(13),
    "under way": at(12),
    failed: at(8),
  });
});

test("when a system sent is known to the millisecond, of the others nothing", async () => {
  const row = arrival({ source: "his" });
  const at = Number.parseInt(row.id.slice(0, 12), 16);
  await store.commit([store.arrivals.add(row)]);
  expect([store.alerts.lastOf("his"), store.alerts.lastOf("pacs")]).toEqual([at, undefined]);
  expect([
    store.alerts.hasSent("his", at, at + 1),
    store.alerts.hasSent("his", at + 1, at + 9),
    store.alerts.hasSent("his", at - 9, at),
    store.alerts.hasSent("pacs", 0, at + 1),
  ]).toEqual([true, false, false, false]);
});

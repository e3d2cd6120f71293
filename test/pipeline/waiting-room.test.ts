/** The waiting room over a real store and real intake, with associations of our own: when a study is complete, and what a restart keeps. */
import { mkdtempSync, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Session } from "../../connectors/connector.ts";
import { Fault } from "../../errors.ts";
import { openInstanceIntake } from "../../pipeline/intake-instance.ts";
import { openPace } from "../../pipeline/pace.ts";
import { askPacs } from "../../pipeline/pull.ts";
import { actOnNote, isKeyObjects } from "../../pipeline/rejection-note.ts";
import type { Site } from "../../pipeline/site.ts";
import { type Assembled, openWaitingRoom, type WaitingRoom } from "../../pipeline/waiting-room.ts";
import { isSizeOf } from "../../store/direct.ts";
import type { Item, Store } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy, rejectionNote, type SampleInstance } from "../fixtures/dicom.ts";
import { testPki, until } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";
import { item } from "./waiting.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let folder: string;
let store: Store;
let site: Site;
let room: WaitingRoom;
let assembled: Assembled[];

async function open(quiet: string): Promise<void> {
  site = await siteAlone({ PKI: pki, DATA: join(folder, "data"), QUIET: quiet });
  store = site.store;
  room = openWaitingRoom(site, async (each) => void assembled.push(each), askPacs(site), openPace());
}
const close = async (): Promise<void> => {
  await room.stop();
  await store.close();
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "semrs-room-"));
  assembled = [];
});
afterEach(close);

const study = ctStudy({ instancesPerSeries: 2 });
const uids = study.map(({ sopInstanceUid }) => sopInstanceUid);
const session = (id: string): Session & { end(): void } => {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { id, ended: promise, end: resolve };
};
const arrive = async (instances: readonly SampleInstance[], on?: Session): Promise<void> => {
  const intake = openInstanceIntake(site, room.arrived);
  for (const { bytes, sopInstanceUid } of instances)
    await intake("pacs", {
      body: wire(bytes, 65_536),
      mediaType: "application/dicom",
      controlId: sopInstanceUid,
      sender: "PACS_A",
      ...(on ? { session: on } : {}),
    });
};
/** A report that refers to the study, as it waits. */
async function document(): Promise<void> {
  const [image] = store.items.list({ state: "waiting", kind: "instance", limit: 1 });
  if (!image) throw new Error("no image is here");
  const facts = { refers: true, extensions: [] };
  const item: Item = {
    ...image,
    id: store.newId(),
    kind: "document",
    key: "d",
    facts,
    since: new Date().toISOString(),
  };
  await store.commit(store.items.add(item));
  room.arrived(item);
}
const gone = (count: number) => () => assembled[0]?.instances.length === count;

test("an open association keeps its study open, its end begins the quiet period", async () => {
  await open("100ms");
  const [one, two] = [session("1"), session("2")];
  await arrive(study.slice(0, 2), one);
  await arrive(study.slice(2, 3), two);
  await document();
  one.end();
  // The other association still sends; that it does is what is seen, however long it takes.
  await arrive(study.slice(3), two);
  expect(assembled).toEqual([]);
  two.end();
  await until("the whole study went", gone(study.length));
  expect(assembled[0]?.closing).toBe("quiet");
});

test("a list of everything that was sent ends the quiet period; a list with what is not here does not", async () => {
  await open("10m");
  await arrive(study.slice(0, 3), session("1"));
  await document();
  await room.complete(uids);
  expect(store.studies.find(study[0]?.studyInstanceUid ?? "").completeAt).toBeNull();
  await arrive(study.slice(3), session("2"));
  await room.complete(uids);
  await until("the whole study went", gone(study.length));
  expect(assembled[0]?.closing).toBe("commitment");
});

test.each([
  ["on one association", () => session("1"), false],
  ["on an association each", (n: number) => session(`${n}`), true],
])("a request after each instance, %s, seals no study instance by instance", async (_how, sessionOf, isEnded) => {
  await open("10m");
  const { studyInstanceUid = "" } = study[0] ?? {};
  const told: (number | null)[] = [];
  const one = sessionOf(0);
  for (const [n, instance] of study.entries()) {
    const on = isEnded ? sessionOf(n) : one;
    await arrive([instance], on);
    // The room is told behind the answer.
    await new Promise((resolve) => setImmediate(resolve));
    if (isEnded) {
      on.end();
      await on.ended;
    }
    await room.complete([instance.sopInstanceUid]);
    told.push(store.studies.find(studyInstanceUid).completeAt);
  }
  // An association each: the first might be all there is.
  const [first] = told;
  expect(first === null).toBe(!isEnded);
  expect(told).toEqual(study.map(() => first));
});

test("what was listed is known after a restart, before its report came", async () => {
  await open("10m");
  await arrive(study);
  await room.complete(uids);
  await close();
  await open("10m");
  await document();
  await until("the whole study went", gone(study.length));
});

test("a restart in the midst of a study begins the quiet period anew: nothing was heard while the site was down", async () => {
  await open("10m");
  await arrive(study.slice(0, 2));
  await document();
  const since = new Date(Date.now() - 3_600_000).toISOString();
  await store.commit(
    store.items.list({ state: "waiting", limit: 10 }).map(({ id }) => store.items.mark(id, { since })),
  );
  await close();
  await open("10m");
  await arrive(study.slice(2));
  await room.complete(uids);
  await until("the study went", () => assembled.length > 0);
  expect(assembled[0]?.instances).toHaveLength(study.length);
});

test("a study of 400 instances on 400 associations is looked at once it is quiet, not once an instance", async () => {
  await open("1s");
  const many = ctStudy({ instancesPerSeries: 200, size: 8 });
  await arrive(many.slice(0, 1));
  await document();
  let reads = 0;
  const { joined } = store.items;
  Object.assign(store.items, {
    joined: (kind: Item["kind"], joins: readonly string[]) => {
      if (kind === "instance") reads += 1;
      return joined(kind, joins);
    },
  });
  for (const instance of many.slice(1)) {
    const on = session(instance.sopInstanceUid);
    await arrive([instance], on);
    on.end();
  }
  await until("the whole study went", gone(many.length));
  expect(reads).toBeLessThan(many.length / 4);
});

test("documents that wait for no study leave side by side, those of one patient in the order they came", async () => {
  await open("1h");
  await room.stop();
  const gates = new Map<string, () => void>();
  const begun: string[] = [];
  room = openWaitingRoom(
    site,
    (each) => {
      begun.push(each.document.id);
      return new Promise((resolve) => gates.set(each.document.id, resolve));
    },
    askPacs(site),
    openPace(),
  );
  const items = ["p", "q", "p"].map((patient, n) => {
    const [id, facts] = [store.newId(), { refers: false, extensions: [] }];
    return item({ id, channel: "documents", key: `k${n}`, joins: [], patients: [patient], facts });
  });
  for (const each of items) {
    await store.commit(store.items.add(each));
    room.arrived(each);
  }
  const [first, second, third] = items.map(({ id }) => id);
  await until("begun", () => begun.length === 2);
  expect(begun).toEqual([first, second]);
  gates.get(second ?? "")?.();
  gates.get(first ?? "")?.();
  await until("begun", () => begun.length === 3);
  expect(begun).toEqual([first, second, third]);
  gates.get(third ?? "")?.();
});

test("a PACS whose answer cannot be noted is asked again later, not at once and without end", async () => {
  await open("10m");
  await room.stop();
  for (const channel of site.config.own.channels)
    if (channel.kind === "outbound" && channel.assemble) Object.assign(channel.assemble.study, { expect: "pacs" });
  let asked = 0;
  const countOf = async (): Promise<number> => {
    asked += 1;
    return 99;
  };
  const isFull = new Set<string>();
  const commit: Store["commit"] = async (...of) => {
    if (isFull.size > 0) throw new Fault("STORE_FULL", "the disk is full; free space");
    return await store.commit(...of);
  };
  const told: string[] = [];
  const full = { ...site, store: { ...store, commit }, log: (event: string) => void told.push(event) };
  room = openWaitingRoom(full, async () => undefined, { ...askPacs(site), countOf }, openPace());
  await arrive(study);
  isFull.add("now");
  await document();
  await until("the PACS has been asked in vain", () => told.includes("assemble.deferred"));
  for (let turn = 0; turn < 1_000; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(asked).toBe(1);
});

test("an instance that comes again when its octets are gone leaves no file, however often", async () => {
  await open("10m");
  const [large] = ctStudy({ instancesPerSeries: 1, size: 256 });
  const again = large ? [large] : [];
  await arrive(again);
  const [kept] = store.items.list({ state: "waiting", kind: "instance", limit: 1 });
  const files = (): number =>
    readdirSync(join(folder, "data"), { recursive: true, withFileTypes: true }).filter(
      (entry) =>
        entry.isFile() && isSizeOf(statSync(join(entry.parentPath, entry.name)).size, large?.bytes.length ?? 0),
    ).length;
  await store.commit([store.blobs.drop(kept?.blob ?? "")]);
  for (let n = 0; n < 3; n += 1) await arrive(again);
  expect(files()).toBe(1);
});

test.each(["the instance", "its note"])(
  "%s reaches the disk first, and neither saw the other: it is rejected",
  async (first) => {
    await open("10m");
    await room.stop();
    const [bad, ...good] = study;
    await arrive([...good, rejectionNote("113001", bad ? [bad] : [])]);
    const note = store.items.list({ state: "waiting", kind: "instance", limit: 9 }).find(isKeyObjects);
    // A disk that takes its time, and what comes in order.
    const queue: (() => void)[] = [];
    let isSlow = true;
    const commit: Store["commit"] = async (...of) => {
      if (isSlow) await new Promise<void>((resolve) => queue.push(resolve));
      await store.commit(...of);
    };
    site = { ...site, store: { ...store, commit } };
    const both = [() => arrive(bad ? [bad] : []), () => actOnNote(site, note as Item)];
    const under: Promise<unknown>[] = [];
    for (const begin of first === "the instance" ? both : both.reverse()) {
      under.push(begin());
      await until("it is on its way", () => queue.length === under.length);
    }
    isSlow = false;
    for (const go of queue) go();
    await Promise.all(under);
    room = openWaitingRoom(site, async (each) => void assembled.push(each), askPacs(site), openPace());
    await document();
    await room.complete(uids.slice(1));
    await until("the study went", () => assembled.length > 0);
    expect(assembled[0]?.instances.map(({ key }) => key).sort()).toEqual(uids.slice(1).sort());
    expect(store.items.byKey("instance", uids[0] ?? "")).toMatchObject([{ state: "discarded", code: "REJECTED" }]);
  },
);

test("what waited in vain is held from then on, not since it came", async () => {
  await open("10m");
  await arrive(study);
  await room.stop();
  const waiting = store.items.list({ state: "waiting", kind: "instance", limit: 10 });
  await store.commit(waiting.map(({ id }) => store.items.mark(id, { since: "2026-01-01T00:00:00.000Z" })));
  room = openWaitingRoom(site, async () => undefined, askPacs(site), openPace());
  await until("held", () => store.items.list({ state: "held", limit: 10 }).length === study.length);
  expect(store.alerts.heldSince()).toBeGreaterThan(Date.parse("2026-01-02"));
});

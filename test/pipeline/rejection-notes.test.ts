/** Rejection notes over a real store and real intake: which instances they mean, and that none leaves before its note was read. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openInstanceIntake } from "../../pipeline/intake-instance.ts";
import { openPace } from "../../pipeline/pace.ts";
import { askPacs } from "../../pipeline/pull.ts";
import { actOnNote, isKeyObjects } from "../../pipeline/rejection-note.ts";
import type { Site } from "../../pipeline/site.ts";
import { type Assembled, openWaitingRoom } from "../../pipeline/waiting-room.ts";
import type { Item } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy, rejectionNote, type SampleInstance } from "../fixtures/dicom.ts";
import { testPki, until } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let site: Site;
beforeEach(async () => {
  site = await siteAlone({ PKI: pki, DATA: mkdtempSync(join(tmpdir(), "semrs-notes-")), QUIET: "10m" });
});
afterEach(() => site.store.close());

const study = ctStudy({ instancesPerSeries: 2 });
const [bad, ...good] = study;
const arrive = async (instances: readonly SampleInstance[]): Promise<void> => {
  const intake = openInstanceIntake(site, () => undefined);
  for (const { bytes, sopInstanceUid: controlId } of instances)
    await intake("pacs", { body: wire(bytes, 65_536), mediaType: "application/dicom", controlId, sender: "PACS_A" });
};
const waiting = (): readonly Item[] => site.store.items.list({ state: "waiting", kind: "instance", limit: 99 });
const stateOf = (each: SampleInstance | undefined): readonly string[] =>
  site.store.items.byKey("instance", each?.sopInstanceUid ?? "").map(({ state }) => state);

test("a note that was kept and not read when the house ended is read before a study that is whole leaves", async () => {
  const { items, studies } = site.store;
  await arrive([...study, rejectionNote("113001", bad ? [bad] : [])]);
  const [image] = waiting();
  const facts = { refers: true, extensions: [] };
  const document: Item = { ...(image as Item), id: site.store.newId(), kind: "document", key: "d", facts };
  const whole = studies.mark(study[0]?.studyInstanceUid ?? "", { completeAt: Date.now() });
  await site.store.commit([...items.add(document), whole]);
  const assembled: Assembled[] = [];
  const room = openWaitingRoom(site, async (each) => void assembled.push(each), askPacs(site), openPace());
  try {
    await until("the study went", () => assembled.length > 0);
    const uids = assembled[0]?.instances.map(({ key }) => key);
    expect(uids?.sort()).toEqual(good.map(({ sopInstanceUid }) => sopInstanceUid).sort());
    expect(stateOf(bad)).toEqual(["discarded"]);
  } finally {
    await room.stop();
  }
});

test.each([
  ["the study that it says", "2.25.116001", "discarded"],
  ["another study", "2.25.990001", "waiting"],
])("what comes after a note that names it as of %s is %s", async (_which, studyUid, state) => {
  await arrive([rejectionNote("113001", bad ? [bad] : [], { studyUid })]);
  const [note] = waiting();
  expect(note && isKeyObjects(note) && (await actOnNote(site, note))).toBe(true);
  await arrive(study);
  expect(stateOf(bad)).toEqual([state]);
  expect(waiting()).toHaveLength(state === "waiting" ? study.length : good.length);
});

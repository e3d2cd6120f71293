/** A second report of a study of which corrected instances wait: what they replace is said in an addendum, and nowhere else. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openInstanceIntake } from "../../pipeline/intake-instance.ts";
import { release } from "../../pipeline/journal-actions.ts";
import { openPace } from "../../pipeline/pace.ts";
import { askPacs } from "../../pipeline/pull.ts";
import { openWaitingRoom } from "../../pipeline/waiting-room.ts";
import type { Change, Item } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { testPki, until } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

test("corrected instances of what has gone follow before a second report takes them", async () => {
  const site = await siteAlone({
    ...{ PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-second-")), QUIET: "10m" },
  });
  const { store } = site;
  const { items } = store;
  const left: string[] = [];
  const room = openWaitingRoom(
    site,
    async ({ document, instances, appends }) => {
      left.push(`${appends ? "addendum to " : ""}${document.key}: ${instances.length}`);
      const going = [...(appends ? [] : [document]), ...instances.filter(({ state }) => state === "waiting")];
      await store.commit(going.map(({ id }): Change => items.mark(id, { state: "sealed", record: store.newId() })));
    },
    askPacs(site),
    openPace(),
  );
  const study = ctStudy({ instancesPerSeries: 2 });
  const arrive = async (change: number, count: number): Promise<void> => {
    const intake = openInstanceIntake(site, room.arrived);
    for (const { bytes, sopInstanceUid: controlId } of study.slice(0, count)) {
      const file = Uint8Array.from(bytes);
      file[file.length - 1] = (file.at(-1) ?? 0) ^ change;
      const arrival = { mediaType: "application/dicom", controlId, sender: "PACS_A" } as const;
      await intake("pacs", { ...arrival, body: wire(file, 65_536) });
    }
  };
  const report = async (key: string): Promise<void> => {
    const [image] = items.byKey("instance", study[0]?.sopInstanceUid ?? "");
    const facts = { refers: true, extensions: [] };
    const waits = { state: "waiting", code: null, record: null, since: new Date().toISOString() } as const;
    const document: Item = { ...(image as Item), ...waits, id: store.newId(), kind: "document", key, facts };
    await store.commit(items.add(document));
    room.arrived(document);
  };
  const whole = () => room.complete(study.map(({ sopInstanceUid }) => sopInstanceUid));
  try {
    await arrive(0, 4);
    await report("first");
    await whole();
    await until("the first report went", () => left.length === 1);
    await arrive(1, 3);
    const [held] = items.list({ state: "held", limit: 1 });
    await release(site, { look: room.look, again: async () => undefined }, held?.id ?? "", "corrected", true);
    await report("second");
    await whole();
    await until("both went", () => left.length === 3);
    expect(left).toEqual(["first: 4", "addendum to first: 3", "second: 4"]);
  } finally {
    await room.stop();
    await store.close();
  }
});

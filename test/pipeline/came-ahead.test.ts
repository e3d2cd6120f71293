/** What waits since later than it is: it came while the clock was ahead, which was set right meanwhile, or while no process ran. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { openInstanceIntake } from "../../pipeline/intake-instance.ts";
import { openPace } from "../../pipeline/pace.ts";
import { askPacs } from "../../pipeline/pull.ts";
import { type Assembled, openWaitingRoom } from "../../pipeline/waiting-room.ts";
import { wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { testPki, until } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

test("it goes once it is quiet, not when it is so late", async () => {
  const data = join(mkdtempSync(join(tmpdir(), "semrs-ahead-")), "data");
  const site = await siteAlone({ PKI: await testPki(), DATA: data, QUIET: "100ms" });
  const { store } = site;
  const study = ctStudy({ instancesPerSeries: 2 });
  const intake = openInstanceIntake(site, () => undefined);
  for (const { bytes, sopInstanceUid: controlId } of study)
    await intake("pacs", { body: wire(bytes, 65_536), mediaType: "application/dicom", controlId, sender: "PACS_A" });
  const images = store.items.list({ state: "waiting", limit: 100 });
  const [image] = images;
  if (!image) throw new Error("no image is here");
  const since = new Date(Date.now() + 8 * 3_600_000).toISOString();
  const document = { ...image, id: store.newId(), kind: "document", key: "d", facts: { refers: true, extensions: [] } };
  await store.commit([
    ...images.map(({ id }) => store.items.mark(id, { since })),
    ...store.items.add({ ...document, kind: "document", since }),
  ]);
  const assembled: Assembled[] = [];
  const room = openWaitingRoom(site, async (each) => void assembled.push(each), askPacs(site), openPace());
  await until("the whole study went", () => assembled[0]?.instances.length === study.length);
  await room.stop();
  await store.close();
});

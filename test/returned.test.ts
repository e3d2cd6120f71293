/** What PACS B sends back of a record of hospital A: known, counted and dropped; what another study has under its UID waits for a person. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ports } from "../commands/demo/ports.ts";
import type { Traced } from "../commands/journal/trace.ts";
import { dicomDestination } from "../connectors/dicom/scu.ts";
import type { Balance } from "../pipeline/reconcile.ts";
import type { SearchPage } from "../pipeline/search.ts";
import type { SearchLine } from "../store/search.ts";
import { commitment } from "./commitment-asked.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { dicomItem } from "./fixtures/dicom-item.ts";
import { adtFor, chen, documents, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
beforeAll(async () => {
  // PACS B is a source of hospital B, too, as where a PACS forwards whatever it gets.
  const bothWays = (yaml: string): string =>
    yaml
      .replace(
        /dicom: \{ (connect: "[^"]+"), aeTitle: SEMRS_B/,
        `dicom: { listen: "127.0.0.1:\${B_BACK}", callers: [], $1, aeTitle: SEMRS_A`,
      )
      .replace("run: [incoming]", "run: [incoming, imaging]");
  at = await openExchange(
    await testPki(),
    { QUIET: "50ms", STUDY_WAIT: "50ms", ...(await ports(["B_BACK"])) },
    bothWays,
  );
  await at.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes));
  await at.message(mdmFor(documents["116"], { controlId: "M1" }));
  await at.registered(1);
  await at.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
  await until("at PACS B", () => at.instancesAtB().size === 2);
});
afterAll(() => at.close());

/** As PACS B keeps them, with the patient's name as it is written there. */
const keptThere = (): readonly Buffer[] =>
  readdirSync(at.receivers.pacs.folder)
    .filter((name) => name.endsWith(".dcm"))
    .map((name) => {
      const file = readFileSync(join(at.receivers.pacs.folder, name));
      file.write("CHEN", file.indexOf("Chen^"));
      return file;
    });

async function sendBack(files: readonly Buffer[]): Promise<readonly unknown[]> {
  const to = { host: "127.0.0.1", port: Number(at.env.B_BACK), callingAeTitle: "PACS_B", calledAeTitle: "SEMRS_A" };
  const answers: unknown[] = [];
  await dicomDestination.send(
    dicomDestination.options.parse(to),
    (async function* () {
      for (const bytes of files) yield dicomItem(bytes);
    })(),
    (_item, outcome) => void answers.push(outcome),
    { log: () => undefined, signal: new AbortController().signal },
  );
  return answers;
}

const taken = { state: "delivered", detail: "0000" };
/** The newest first. */
const arrivals = async (controlId: string): Promise<readonly SearchLine[]> =>
  (await at.admin("hospital-b").post<SearchPage>("/journal/search", { controlId, limit: 10 })).found;
const imaging = async () =>
  (await at.admin("hospital-b").get<Balance>("/status")).channels.find(({ channel }) => channel === "imaging");
const [first] = ctStudy({ instancesPerSeries: 1 });
const uid = first?.sopInstanceUid ?? "";

test("an instance that came from hospital A is acknowledged, told in the journal and kept no second time, after a restart as before", async () => {
  for (const count of [1, 2]) {
    expect(await sendBack(keptThere())).toEqual([taken, taken]);
    const here = await arrivals(uid);
    expect(here.map(({ state, code }) => [state, code])).toEqual(Array(count).fill(["filtered", "ECHO"]));
    const { instances, steps } = await at.admin("hospital-b").get<Traced>(`/trace/${here[0]?.id}`);
    const [record] = await at.admin("hospital-b").get<readonly { readonly id: string }[]>("/records");
    expect(instances).toEqual({});
    expect(steps).toContainEqual(
      expect.objectContaining({ event: "filtered", code: "ECHO", detail: `of record ${record?.id}` }),
    );
    expect(await imaging()).toMatchObject({ accepted: 2 * count, filtered: 2 * count, lost: 0 });
    await at.stop("hospital-b");
    await at.start("hospital-b");
  }
});

test("what lies in the record is committed (PS3.4 J): its PACS may delete what it sent back", async () => {
  const sopClassUid = "1.2.840.10008.5.1.4.1.1.2";
  const asked = [
    { sopClassUid, sopInstanceUid: uid },
    { sopClassUid: "1.2.840.10008.5.1.4.1.1.4", sopInstanceUid: uid },
    { sopClassUid, sopInstanceUid: "1.2.3.4" },
  ];
  expect(await commitment(asked, Number(at.env.B_BACK))).toEqual({
    type: 2,
    committed: asked.slice(0, 1),
    failed: [0x0119, 0x0112].map((reason, n) => ({ ...asked[n + 1], reason })),
  });
});

test("an instance of another study under the same UID is held, and again when it is sent again after a discard", async () => {
  const [file = Buffer.of()] = keptThere();
  const element = file.indexOf(Buffer.from("20000d005549", "hex"));
  file[element + 8] = "3".charCodeAt(0);
  const b = at.admin("hospital-b");
  type Held = { readonly items: readonly { readonly id: string; readonly code: string }[] };
  const held = async () => (await b.get<Held>("/journal?state=held")).items;
  for (const time of ["first", "again"]) {
    expect([time, await sendBack([file])]).toEqual([time, [taken]]);
    await until("held", async () => (await held()).length === 1);
    const [item] = await held();
    expect(item).toMatchObject({ code: "DICOM_CONFLICT" });
    await b.post(`/journal/${item?.id}/discard`, { reason: "a phantom" });
  }
});

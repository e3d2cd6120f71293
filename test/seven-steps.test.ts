/** The seven steps of the paper's Figure 1, one after the other, each by what it leaves behind. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { type Asking, openAsking } from "./exchange/asking.ts";
import { nationalRoot } from "./fixtures/cda.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { dataSetSha256, type SiteName, sha256, type TestExchange, until } from "./sites.ts";

let exchange: TestExchange;
let asking: Asking;
beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

test("a report and its images from hospital A to hospital B", async () => {
  const images = ctStudy({ instancesPerSeries: 2 });
  const report = cda({
    form: "116",
    extension: "SEVEN.1",
    patient: chen,
    code: "18782-3",
    display: "x",
    title: "報告",
    study: { uid: "2.25.116001", accession: "ACC20260116", series: [], modality: "CT" },
    body: "x",
  });
  const at = (site: SiteName): Promise<Traced> => exchange.admin(site).get<Traced>("/trace/REPORT");
  const happened = (site: SiteName, event: string) =>
    exchange.log.find((line) => line.site === site && line.event === event)?.fields;

  // 1: PACS A and HIS A hand over the images and the report; hospital A makes one sealed record of them.
  await exchange.instances(images.map(({ bytes }) => bytes));
  expect(await exchange.message(mdmFor(report, { controlId: "REPORT" }))).toMatchObject({ detail: "AA" });
  await until("one record", async () => (await at("hospital-a")).records.length === 1);
  const [record] = (await at("hospital-a")).records;
  expect(record).toMatchObject({ author: "hospital-a", parts: 1 + images.length });

  // 2: it goes to hospital A's repository, which receipts it.
  expect(record?.receipts).toContainEqual({ kind: "stored", from: "hospital-a" });

  // 3: the repository registers it at the registry center, which receipts that.
  await exchange.registered(1);
  expect((await at("hospital-a")).records[0]?.receipts).toContainEqual({ kind: "registered", from: "registry" });

  // 4 and 5: hospital B asks the registry center, which answers who holds what, and no document.
  const patientIds = [{ root: nationalRoot, extension: chen.national }];
  const query = { command: "query", query: "findDocuments", patientIds, purposeOfUse: "TREAT" };
  const { found } = await asking.ask("hospital-b", "query", Buffer.from(JSON.stringify(query)));
  expect(found?.entries).toMatchObject([
    {
      org: "hospital-a",
      manifestSha256: record?.manifestSha256,
      entry: { repositoryUniqueId: "hospital-a", hash: sha256(report), form: "116" },
    },
  ]);

  // So does it when the patient comes.
  expect(await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT")).toMatchObject({
    detail: "AA",
  });
  await until("registry asked", () => happened("registry", "registry.answered") !== undefined);

  // 6: hospital B asks hospital A's repository for the record.
  await until("repository asked", () => happened("hospital-a", "repository.answered") !== undefined);

  // 7: it comes sealed anew for hospital B, which verifies that hospital A has made it; HIS B and PACS B get what HIS A and PACS A gave.
  await until("the report at HIS B", () => exchange.documentsAtB().has(sha256(report)));
  await until("the images at PACS B", () => exchange.instancesAtB().size === images.length);
  expect(exchange.instancesAtB()).toEqual(
    new Map(images.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
  );
  const received = await exchange
    .admin("hospital-b")
    .get<readonly { author: string; manifestSha256: string }[]>("/records");
  expect(received).toMatchObject([{ author: "hospital-a", manifestSha256: record?.manifestSha256 }]);

  // And hospital A holds hospital B's receipt for it.
  await until(
    "the proof of delivery",
    async () =>
      (await at("hospital-a")).records[0]?.receipts.some(
        ({ kind, from }) => kind === "delivered" && from === "hospital-b",
      ) === true,
  );
});

/** Reconciliation: accepted = delivered + queued + held + parked + filtered + refused + discarded, per channel, and an alarm when not. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Balance } from "../pipeline/reconcile.ts";
import { semrs } from "./commands/cli.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, lin, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type SiteName, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
beforeAll(async () => {
  at = await openExchange(await testPki(), { QUIET: "100ms" });
});
afterAll(() => at.close());

const balance = (site: SiteName = "hospital-a"): Promise<Balance> => at.admin(site).get<Balance>("/status");
const report = (extension: string, body = "x") =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "檢驗報告", body });

/** The lines of a site without their zeros. */
async function lines(
  site: SiteName = "hospital-a",
): Promise<Readonly<Record<string, Readonly<Record<string, number>>>>> {
  const { channels } = await balance(site);
  return Object.fromEntries(
    channels.map(({ channel, ...sum }) => [
      channel,
      Object.fromEntries(Object.entries(sum).filter(([, n]) => n !== 0)),
    ]),
  );
}

/** Does something to the index behind the site's back. */
function damage(sql: string): void {
  const db = new DatabaseSync(join(at.folder, "data", "hospital-a", "semrs.db"));
  db.exec(`PRAGMA busy_timeout = 5000; ${sql}`);
  db.close();
}

test("every fate is counted under its channel, and the sum is what was accepted", async () => {
  await at.instances(ctStudy({ instancesPerSeries: 2 }).map(({ bytes }) => bytes));
  expect(await lines()).toEqual({ imaging: { accepted: 4, queued: 4 } });

  await at.message(sampleMessage("mdm-t02-116"));
  await at.message(mdmFor(report("R.1"), { controlId: "R1" }));
  await at.message(mdmFor(report("R.1", "y"), { controlId: "R2" }));
  await at.message(mdmFor(report("R.3"), { controlId: "R3", identifiers: `${lin.national}^^^MOI^NI` }));
  await at.message(sampleMessage("adt-a01"));
  await until("delivered", async () => (await lines()).imaging?.delivered === 5);
  await until("delivered", async () => (await lines()).documents?.delivered === 1);
  expect(await lines()).toEqual({
    imaging: { accepted: 5, delivered: 5 },
    documents: { accepted: 2, delivered: 1, held: 1 },
    // The report of another patient, refused; the admission that nobody here waits for.
    "": { accepted: 2, refused: 1, filtered: 1 },
  });
  const { acknowledged, holds } = await balance();
  expect({ acknowledged, holds }).toEqual({ acknowledged: 9, holds: true });

  const { items } = await at.admin("hospital-a").get<{ items: { id: string }[] }>("/journal?state=held");
  await at.admin("hospital-a").post(`/journal/${items[0]?.id}/discard`, { reason: "a test" });
  expect((await lines()).documents).toEqual({ accepted: 2, delivered: 1, discarded: 1 });
});

test("a record of another house is accepted here, queued while the HIS is down, and delivered", async () => {
  await at.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "A1" }), "B_ADT");
  await until("at B", async () => (await lines("hospital-b")).incoming?.delivered === 3);
  expect(await lines("hospital-b")).toEqual({ incoming: { accepted: 3, delivered: 3 } });
});

test("semrs status tells it in a table, and the metrics do", async () => {
  const where = ["--admin", `http://127.0.0.1:${at.env.A_ADMIN}`, "--data", join(at.folder, "data", "hospital-a")];
  const { exit, out } = await semrs(["status", ...where]);
  expect(out).toMatch(
    /^channel +accepted +delivered +queued +held +parked +filtered +refused +discarded +lost +kept\n/,
  );
  expect(out).toMatch(/^imaging +5 +5 +0 +0 +0 +0 +0 +0 +0 +[\d.]+ KiB$/m);
  expect(exit).toBe(0);
  expect(await at.admin("hospital-a").metric("semrs_reconciled")).toBe(1);
  expect(await at.admin("hospital-a").metric("semrs_accepted", { channel: "imaging", fate: "delivered" })).toBe(5);
});

test("a document, a record's delivery or an acceptance that is not there is lost: alarmed once, told with exit 65, and its return too", async () => {
  const alarms = () => at.log.filter(({ event }) => event === "reconcile.lost");
  damage("CREATE TABLE gone AS SELECT * FROM item WHERE kind = 'document'; DELETE FROM item WHERE kind = 'document'");
  expect((await lines()).documents).toEqual({ accepted: 2, lost: 2 });
  expect((await lines()).imaging).toEqual({ accepted: 5, delivered: 4, lost: 1 });
  expect(await balance()).toMatchObject({ holds: false, lost: 3 });
  expect(alarms()).toMatchObject([
    { level: "error", fields: { code: "STORE_DAMAGED", count: 3, channel: "documents" } },
  ]);
  expect(await at.admin("hospital-a").metric("semrs_reconciled")).toBe(0);
  const where = ["--admin", `http://127.0.0.1:${at.env.A_ADMIN}`, "--data", join(at.folder, "data", "hospital-a")];
  expect(await semrs(["status", "--json", ...where])).toMatchObject({ exit: 65, err: /3 accepted and nowhere/ });

  const ready = async () => (await fetch(`http://127.0.0.1:${at.env.A_ADMIN}/health/ready`)).status;
  expect(await ready()).toBe(503);
  damage("INSERT INTO item SELECT * FROM gone; DROP TABLE gone");
  expect(await balance()).toMatchObject({ holds: true, lost: 0 });
  expect(await ready()).toBe(200);
  expect(at.log.some(({ event }) => event === "reconcile.restored")).toBe(true);

  damage("DELETE FROM delivery WHERE kind = 'register'");
  expect(await balance()).toMatchObject({ holds: false, lost: 6 });
});

test("what the accept journal holds and the index does not is lost", async () => {
  const before = await balance();
  await at.message(mdmFor(report("R.9"), { controlId: "R9" }));
  await at.message(mdmFor(report("R.10"), { controlId: "R10" }));
  damage("DELETE FROM arrival WHERE control_id = 'R9'");
  const { acknowledged, channels } = await balance();
  expect(acknowledged).toBe(before.acknowledged + 2);
  expect(channels.find(({ channel }) => channel === "")).toMatchObject({ accepted: 3, lost: 1 });
  // The last one might still be on its way: it is waited for a little.
  await at.message(mdmFor(report("R.11"), { controlId: "R11" }));
  damage("DELETE FROM arrival WHERE control_id = 'R11'");
  expect((await balance()).channels.find(({ channel }) => channel === "")).toMatchObject({ accepted: 4, lost: 2 });
});

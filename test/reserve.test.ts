/** The disk reserve: below it nothing is taken in, by any protocol, and what is queued still drains. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Check } from "../pipeline/readiness.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type SiteName, sha256, type TestExchange, testPki, until } from "./sites.ts";

const none = "disk: { minFree: 999999GiB }";
const reserve: { -readonly [site in SiteName]?: string } = {};
let at: TestExchange;
beforeAll(async () => {
  at = await openExchange(await testPki(), { RETRY: "100ms" }, (yaml) =>
    yaml
      .replace(/( {4}repository: .*_PORT:8441.*\n)/, `$1    ${reserve["hospital-a"] ?? ""}\n`)
      .replace(/( {4}repository: .*_PORT:8442.*\n)/, `$1    ${reserve["hospital-b"] ?? ""}\n`)
      .replace("    route: [repository]\n  incoming", "    route: [repository, hospital-b]\n  incoming"),
  );
});
afterAll(() => at.close());

const restart = async (site: SiteName, disk: string): Promise<void> => {
  await at.stop(site);
  reserve[site] = disk;
  await at.start(site);
};
const ready = async (): Promise<{ status: number; checks: readonly Check[] }> => {
  const response = await fetch(`http://127.0.0.1:${at.env.A_ADMIN}/health/ready`);
  const { checks } = (await response.json()) as { checks: readonly Check[] };
  return { status: response.status, checks };
};
const report = (extension: string, body = "x") =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "檢驗報告", body });

test("below the reserve: AR, A700, not ready with the reason, and what was queued is registered all the same", async () => {
  await at.stop("registry");
  await at.message(sampleMessage("mdm-t02-121"));
  await restart("hospital-a", none);
  expect(await at.message(mdmFor(report("D.1"), { controlId: "D1" }))).toMatchObject({
    state: "refused",
    code: "PEER_BUSY",
    detail: expect.stringMatching(/^AR/),
  });
  const [outcome] = (await at.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes))).values();
  expect(outcome).toMatchObject({ state: "refused", detail: "A700" });
  // What is too large for the index would be a file by now, and stay on the disk until the next start.
  await at.message(mdmFor(report("D.0", "x".repeat(200_000)), { controlId: "D0" }));
  const files = readdirSync(join(at.folder, "data", "hospital-a", "blobs"), { recursive: true, withFileTypes: true });
  expect(files.filter((each) => each.isFile())).toEqual([]);
  const { status, checks } = await ready();
  expect(status).toBe(503);
  expect(checks).toContainEqual(expect.objectContaining({ check: "disk", state: "fail", code: "STORE_FULL" }));
  expect(checks.filter(({ state }) => state === "fail").map(({ check }) => check)).toEqual(["disk"]);
  const failed = at.log.filter(({ event, fields }) => event === "health.failed" && fields.station === "disk");
  expect(failed).toMatchObject([{ level: "error" }]);

  await at.start("registry");
  await until("drained", async () => {
    const { deliveries } = await at.admin("hospital-a").get<{ deliveries: Record<string, number> }>("/counts");
    return deliveries.delivered === 2;
  });
  expect(await at.admin("hospital-a").get("/status")).toMatchObject({ holds: true });

  await restart("hospital-a", "");
  expect((await ready()).status).toBe(200);
  expect(await at.message(mdmFor(report("D.1"), { controlId: "D1" }))).toMatchObject({ state: "delivered" });
});

test("a partner below its reserve answers 507 to what would have to be kept: it waits here, and goes when there is space", async () => {
  await restart("hospital-b", none);
  await at.message(mdmFor(report("D.2"), { controlId: "D2" }));
  const queued = async () =>
    (
      await at
        .admin("hospital-a")
        .get<{ deliveries: { kind: string; reason: string | null }[] }>("/journal?state=queued")
    ).deliveries;
  await until("deferred", async () =>
    (await queued()).some(({ kind, reason }) => kind === "push" && /refused with STORE_FULL/.test(reason ?? "")),
  );
  expect(
    at.log.some(
      ({ site, event, fields }) =>
        site === "hospital-b" && event === "repository.refused" && fields.code === "STORE_FULL",
    ),
  ).toBe(true);
  await restart("hospital-b", "");
  await until("pushed", async () => (await queued()).length === 0);
});

test("a house below its reserve retrieves nothing: the records it has found wait for space", async () => {
  // What was pushed is there already.
  await at.admin("hospital-a").post("/stops/hospital-b/pause", { reason: "its line is down" });
  await at.message(mdmFor(report("D.3"), { controlId: "D3" }));
  await at.registered(4);
  await at.stop("registry");
  await at.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "A1" }), "B_ADT");
  await restart("hospital-b", none);
  await at.start("registry");
  const queued = async () =>
    (await at.admin("hospital-b").get<{ deliveries: { kind: string; code: string | null }[] }>("/journal?state=queued"))
      .deliveries;
  await until("deferred", async () =>
    (await queued()).some(({ kind, code }) => kind === "retrieve" && code === "STORE_FULL"),
  );
  await restart("hospital-b", "");
  await until("at B", () => at.documentsAtB().has(sha256(report("D.3"))));
});

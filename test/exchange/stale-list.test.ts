/** A house's revocation list has ended: nothing is opened there, nothing is lost, and all goes on once the list is renewed. */
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { renewCrl } from "../../commands/pki/authority.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";

const dayMs = 24 * 3_600_000;
const report = cda({
  form: "113",
  extension: "S.1",
  patient: chen,
  code: "11502-2",
  display: "x",
  title: "t",
  body: "x",
});

let exchange: TestExchange | undefined;
afterEach(() => exchange?.close());

test("what it asks, and what others send it, waits in its queue and goes on by itself", async () => {
  const pki = await testPki();
  const ended = join(pki, "hospital-b.crl");
  rmSync(join(pki, "ca.crl"));
  renewCrl(pki, { now: new Date(Date.now() - 60 * dayMs) });
  cpSync(join(pki, "ca.crl"), ended);
  renewCrl(pki, { now: new Date() });
  cpSync(join(pki, "ca.crl"), join(pki, "hospital-a.crl"));
  const at = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml
      .replace('/ca.crl"]', `/\${SITE}.crl"], renew: 1s`)
      .replaceAll("route: [repository]", "route: [repository, hospital-b]"),
  );
  exchange = at;
  const told = (site: string, event: string, code: string): boolean =>
    at.log.some((line) => line.site === site && line.event === event && line.fields.code === code);

  await at.message(mdmFor(report, { controlId: "S1" }));
  await until("the push waits", () => told("hospital-a", "route.deferred", "PEER_BUSY"));
  expect(told("hospital-b", "repository.refused", "REVOCATION_STALE")).toBe(true);
  await at.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  await until("the admission's question waits", () => told("hospital-b", "fetch.deferred", "REVOCATION_STALE"));
  expect(at.log.filter(({ event }) => event.endsWith(".parked"))).toEqual([]);

  cpSync(join(pki, "ca.crl"), ended);
  await until("registered and pushed", async () => {
    const { deliveries } = await at.admin("hospital-a").get<Traced>("/trace/S1");
    return deliveries.length >= 2 && deliveries.every(({ state }) => state === "delivered");
  });
  await until("at HIS B", () => at.documentsAtB().has(sha256(report)));
  expect(at.log.filter(({ event }) => event.endsWith(".parked"))).toEqual([]);
});

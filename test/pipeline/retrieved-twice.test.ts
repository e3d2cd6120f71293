/** A record that came another way while it was retrieved: nothing of the retrieval stays on the disk. */
import { mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { openRest } from "../../connectors/rest.ts";
import { pemToDer } from "../../envelope/certificate.ts";
import { Fault } from "../../errors.ts";
import { openDeliveryLoop, type Send } from "../../pipeline/delivery.ts";
import { query } from "../../pipeline/fetch.ts";
import { retrieve } from "../../pipeline/open.ts";
import { newDelivery } from "../../pipeline/route.ts";
import type { Site } from "../../pipeline/site.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

let exchange: TestExchange;
let site: Site;
const data = mkdtempSync(join(tmpdir(), "semrs-twice-"));
beforeAll(async () => {
  exchange = await openExchange(await testPki(), {}, (yaml) => yaml, ["registry", "hospital-a"]);
  const alone = await siteAlone({ ...exchange.env, SITE: "hospital-b", DATA: data });
  const { config, identity, tls } = alone;
  const crls = pemToDer(readFileSync(config.trust.crls[0] ?? "", "utf8"), "X509 CRL");
  const rest: Site["rest"] = (org) => openRest({ url: config.partners[org]?.url ?? "", ...tls });
  site = { ...alone, identity: { ...identity, trust: { ...identity.trust, crls } }, rest };
});
afterAll(async () => {
  await site.store.close();
  await exchange.close();
});

test("what was pushed meanwhile is the record, and the file of the retrieval that came second goes", async () => {
  const { store } = site;
  const about = { form: "113", extension: "TWICE.1", patient: chen, code: "1-8", display: "x", title: "t" };
  const large = cda({ ...about, body: "<paragraph>x</paragraph>".repeat(20_000) });
  await exchange.message(mdmFor(large, { controlId: "M1" }));
  await until("registered", async () => {
    const { records } = await exchange.admin("hospital-a").get<Traced>("/trace/M1");
    return records.some(({ state }) => state === "registered");
  });
  const patientIds = [{ root: "2.16.886.101.20003.20001", extension: chen.national }];
  const fetch = newDelivery(site, "fetch", "incoming", "registry");
  await store.commit([store.deliveries.add({ ...fetch, payload: { patientIds, admission: null } })]);

  let isMet = false;
  const meanwhile: Send = async (_site, delivery) => {
    const sent = await retrieve(site, delivery);
    if (isMet) return sent;
    isMet = true;
    await store.commit((await retrieve(site, delivery)).changes);
    return sent;
  };
  const nobody: Send = async () => {
    throw new Fault("PEER_UNREACHABLE", "nothing else is sent here");
  };
  const others = { register: nobody, change: nobody, push: nobody, notify: nobody, receipt: nobody };
  const sends = { ...others, identify: nobody, message: nobody, study: nobody, fetch: query, retrieve: meanwhile };
  const loop = openDeliveryLoop(site, sends, {});
  const retrievals = () => store.deliveries.list({ state: "delivered", limit: 9 }).map(({ kind }) => kind);
  await until("it is here", () => {
    loop.wake();
    return retrievals().includes("retrieve");
  });
  await loop.stop();
  expect(store.records.list({ limit: 9 })).toHaveLength(1);
  const blobs = join(data, "hospital-b", "blobs");
  const files = readdirSync(blobs, { recursive: true, encoding: "utf8" }).map((name) => statSync(join(blobs, name)));
  expect(files.filter((file) => file.isFile() && file.size > 0)).toHaveLength(1);
});

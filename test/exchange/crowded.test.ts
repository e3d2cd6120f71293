/** A house that registers thousands of documents for another house's patient: it keeps nobody from the others. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { readCda } from "../../formats/cda.ts";
import { documentEntry } from "../../formats/document-entry.ts";
import { adtFor, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Asking, askingOf } from "./asking.ts";
import { documentOf, registration } from "./indexed.ts";
import { peerOf } from "./peer.ts";
import { report } from "./two-authors.ts";

let exchange: TestExchange;
let asking: Asking;

beforeAll(async () => {
  const pki = await testPki();
  const asksFor = "rules: [{ documents: [113],";
  exchange = await openExchange(pki, {}, (yaml) => yaml.replace(/rules: \[\{ documents: \[[^\]]*\],/, asksFor));
  asking = askingOf(pki, peerOf(pki, exchange.env.B_PORT), () => exchange.env.REGISTRY_PORT);
});
afterAll(() => exchange.close());

test("what is behind a page without an entry that was asked for is fetched", async () => {
  const real = report("CROWDED");
  await exchange.message(mdmFor(real, { controlId: "CROWDED" }));
  await exchange.registered(1);
  const source = { sha256: sha256(real), size: real.length, repositoryUniqueId: "hospital-b", images: null };
  const { patientIds } = documentEntry(readCda(real), source);
  const crowd = { patientIds, form: "121", repositoryUniqueId: "hospital-b" };
  for (let set = 0; set < 26; set += 1) {
    const entries = Array.from({ length: 200 }, (_, at) => documentOf(`crowd${set}.${at}`, crowd));
    const name = set.toString(16).padStart(32, "0");
    expect(await asking.ask("hospital-b", "register", registration(entries, name))).toMatchObject({ status: 201 });
  }
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  await until("at HIS B", () => exchange.documentsAtB().has(sha256(real)));
});

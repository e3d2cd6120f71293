/** A house renews its certificate to sign: what it sealed and registered before is handed out, and taken, as it was. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { exportBundle, trustBundle } from "../../commands/pki/bundle.ts";
import { issueFor, makeRequests } from "../../commands/pki/requests.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";

let pki: string;
let exchange: TestExchange;
/** Hospital A and the registry as their partners know them, by what they export. */
const trust = (house = "hospital-a"): unknown =>
  trustBundle(exportBundle(join(pki, house), []).pem, join(pki, "known"), house);
beforeAll(async () => {
  pki = await testPki();
  for (const house of ["hospital-a", "registry"]) trust(house);
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml.replace(/(certificates: "\$\{PKI:pki\})\/(hospital-a|registry)"/g, '$1/known/$2"'),
  );
});
afterAll(() => exchange.close());

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
const admit = (controlId: string) => exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId }), "B_ADT");
const isRegistered = async (name: string): Promise<boolean> =>
  (await exchange.admin("hospital-a").get<Traced>(`/trace/${name}`)).records[0]?.state === "registered";

/** As the page on certificates says: a new one for the same key, in place here, and trusted there once it is exported. */
async function restartRenewed(house: "hospital-a" | "registry"): Promise<void> {
  const keys = join(pki, house);
  makeRequests(keys, house, { rsa: false, hosts: [] });
  issueFor(pki, join(keys, "sign.csr"), { now: new Date(), days: 400 });
  await exchange.stop(house);
  await exchange.start(house);
}
async function renew(): Promise<void> {
  await restartRenewed("hospital-a");
  trust();
  for (const site of ["hospital-b", "registry"] as const) await exchange.admin(site).post("/reload", {});
}

test("what was registered before, under either of two certificates before this one, reaches hospital B", async () => {
  for (const name of ["FIRST", "SECOND"]) {
    await exchange.message(mdmFor(report(name), { controlId: name }));
    await until("registered", () => isRegistered(name));
    await renew();
  }
  await admit("ADT");
  await until("both at HIS B", () =>
    ["FIRST", "SECOND"].every((name) => exchange.documentsAtB().has(sha256(report(name)))),
  );
  expect(exchange.log.filter(({ level, event }) => level === "error" || event.endsWith(".parked"))).toEqual([]);
});

test("what the registry answers before its next certificate is trusted is parked, and asked again once it is", async () => {
  await restartRenewed("registry");
  await exchange.message(mdmFor(report("EARLY"), { controlId: "EARLY" }));
  await admit("ADT_EARLY");
  const parked = (event: string): boolean =>
    exchange.log.some((line) => line.event === event && line.fields.code === "ENVELOPE_NOT_OPENED");
  await until("parked", () => parked("route.parked") && parked("fetch.parked"));
  trust("registry");
  for (const site of ["hospital-a", "hospital-b"] as const) await exchange.admin(site).post("/reload", {});
  await until("registered", () => isRegistered("EARLY"));
  await until("at HIS B", () => exchange.documentsAtB().has(sha256(report("EARLY"))));
});

test("what the registry cannot open before it trusts this house's next certificate goes out again once it has opened something", async () => {
  await restartRenewed("hospital-a");
  for (const name of ["REFUSED_1", "REFUSED_2"]) await exchange.message(mdmFor(report(name), { controlId: name }));
  const states = async (): Promise<readonly (string | undefined)[]> =>
    await Promise.all(
      ["REFUSED_1", "REFUSED_2"].map(
        async (name) => (await exchange.admin("hospital-a").get<Traced>(`/trace/${name}`)).deliveries[0]?.state,
      ),
    );
  await until("both parked", async () => (await states()).every((state) => state === "parked"));
  trust();
  await exchange.admin("registry").post("/reload", {});
  expect(await states()).toEqual(["parked", "parked"]);
  await exchange.message(mdmFor(report("TAKEN"), { controlId: "TAKEN" }));
  await until("all registered", async () =>
    (await Promise.all(["REFUSED_1", "REFUSED_2", "TAKEN"].map(isRegistered))).every((is) => is),
  );
});

test("a partner's certificate that cannot be read is not taken by a reload, which names its file: what is sent goes on", async () => {
  const file = join(pki, "known", "registry", "decrypt.crt");
  const right = readFileSync(file);
  writeFileSync(file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  const reload = () => exchange.admin("hospital-a").post("/reload", {});
  await expect(reload()).rejects.toThrow(
    `${file}: certificate 709e80c8 cannot be read; ask registry for its decrypt.crt`,
  );
  await exchange.message(mdmFor(report("MEANWHILE"), { controlId: "MEANWHILE" }));
  await until("registered", () => isRegistered("MEANWHILE"));
  writeFileSync(file, right);
  expect(await reload()).toEqual({ changed: [], warnings: [] });
});

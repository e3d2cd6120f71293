/** The evidence of a retrieval, verified by the commands of its own page, with OpenSSL alone; anything changed does not verify. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evidenceCommand } from "../../commands/evidence.ts";
import { authority } from "../../commands/pki/authority.ts";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { type Issuer, issueCrl } from "../../envelope/issue.ts";
import { evidenceOf } from "../../pipeline/evidence.ts";
import type { Site } from "../../pipeline/site.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { siteAlone } from "../pipeline/site-alone.ts";
import { openExchange, type SiteName, type TestExchange, testPki, until } from "../sites.ts";
import { commandsIn, run } from "./evidence-page.ts";

const openssl = peer("openssl");
const ports = { "hospital-a": "A_ADMIN", "hospital-b": "B_ADMIN", registry: "REGISTRY_ADMIN" } as const;
const dayMs = 86_400_000;
const base = mkdtempSync(join(tmpdir(), "semrs-evidence-"));
let exchange: TestExchange;
let record: string;

beforeAll(async () => {
  exchange = await openExchange(await testPki());
  const report = cda({
    form: "113",
    extension: "PROOF.1",
    patient: chen,
    code: "11502-2",
    display: "x",
    title: "t",
    body: "x",
  });
  await exchange.message(mdmFor(report, { controlId: "PROOF" }));
  await exchange.registered(1);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  await until("the proof of delivery at hospital A", async () => {
    const [own] = await exchange
      .admin("hospital-a")
      .get<readonly { id: string; receipts: readonly { kind: string }[] }[]>("/records");
    record = own?.id ?? "";
    return own?.receipts.some(({ kind }) => kind === "delivered") === true;
  });
});
afterAll(() => exchange.close());

async function exported(site: SiteName, id: string, name: string): Promise<string> {
  const folder = join(base, name);
  const admin = `http://127.0.0.1:${exchange.env[ports[site]]}`;
  const where = ["--admin", admin, "--data", join(exchange.folder, "data", site), "--out", folder];
  await evidenceCommand().parseAsync(["export", id, ...where], { from: "user" });
  return folder;
}

test("who was told of a record is nobody else's on the machine: folder and files are their owner's alone", async () => {
  const folder = await exported("hospital-a", record, "own");
  const modes = [folder, ...readdirSync(folder).map((name) => join(folder, name))].map((path) => statSync(path).mode);
  expect(modes.filter((mode) => (mode & 0o077) !== 0)).toEqual([]);
});

test.skipIf(!openssl.available)("both houses prove it: who has sealed, asked, answered and receipted", async () => {
  const atA = await exported("hospital-a", "PROOF", "a");
  const signedAtA = ["author.p7s", "receipt-delivered-hospital-b.p7m", "receipt-registered-registry.p7m"];
  expect(readdirSync(atA)).toEqual(expect.arrayContaining([...signedAtA, "request-hospital-b.p7s", "trust.pem"]));
  run(atA);
  const { names, outcomes } = JSON.parse(readFileSync(join(atA, "receipt-delivered-hospital-b.json"), "utf8")) as {
    names: readonly string[];
    outcomes: unknown;
  };
  expect(names).toHaveLength(1);
  expect(outcomes).toBeDefined();

  const atB = await exported("hospital-b", record, "b");
  expect(readdirSync(atB)).toEqual(
    expect.arrayContaining([
      "author.p7s",
      "request-hospital-b.p7s",
      "response-hospital-a.p7s",
      "receipt-delivered-hospital-b.p7m",
      "receipt-registered-registry.p7m",
    ]),
  );
  run(atB);
  expect(readFileSync(join(atB, "author.json"))).toEqual(readFileSync(join(atA, "author.json")));
  expect(readFileSync(join(atB, "request-hospital-b.json"))).toEqual(
    readFileSync(join(atA, "request-hospital-b.json")),
  );
  const all = readdirSync(atB).map((name) => readFileSync(join(atB, name), "latin1"));
  expect(all.filter((text) => text.includes(chen.national) || text.includes("PROOF.1"))).toEqual([]);
});

test.skipIf(!openssl.available)("whatever is changed, one of the commands fails", async () => {
  const whole = await exported("hospital-b", record, "whole");
  run(whole);
  const changes: Readonly<Record<string, (text: string) => string>> = {
    "author.json": (text) => text.replace('"hospital-a"', '"hospital-c"'),
    "response-hospital-a.json": (text) => text.replace(/"requestDigest":"./, '"requestDigest":"g'),
    "request-hospital-b.json": (text) => `${text} `,
    "houses.json": (text) => text.replaceAll(/[0-9a-f]{8}/g, "00000000"),
    "trust.pem": (text) => text.slice(text.indexOf("-----BEGIN X509 CRL")),
  };
  for (const [name, change] of Object.entries(changes)) {
    const folder = join(base, `changed-${name}`);
    cpSync(whole, folder, { recursive: true });
    const before = readFileSync(join(folder, name), "utf8");
    expect(change(before), name).not.toBe(before);
    writeFileSync(join(folder, name), change(before));
    expect(() => run(folder), name).toThrow();
  }
});

test("QUERY_INVALID for a folder with something in it, DOCUMENT_UNKNOWN for what is no record", async () => {
  const folder = join(base, "full");
  cpSync(await exported("hospital-a", record, "once"), folder, { recursive: true });
  await exported("hospital-a", record, "full");
  expect(process.exitCode).toBe(64);
  await exported("hospital-a", "nothing", "none");
  expect(process.exitCode).toBe(65);
  process.exitCode = 0;
});

describe.skipIf(!openssl.available)("three years later", () => {
  const future = new Date(Date.now() + 3 * 365 * dayMs);
  let [atA, atB]: Site[] = [];
  let ca: Issuer;
  const signing = (site: SiteName): Uint8Array =>
    pemToDer(readFileSync(join(exchange.env.PKI ?? "", site, "sign.crt"), "utf8"))[0] ?? new Uint8Array();

  /** The evidence as of then, written to a folder; `revoked` a day ago, as of then or of now. The list ends after two days. */
  async function evidence(
    name: string,
    revoked: readonly SiteName[],
    ago: Date,
    site = atA,
    [at, listed] = [future, new Date(+future - dayMs)],
  ): Promise<{ folder: string; page: string }> {
    if (!site) throw new Error("the site is not open");
    const entries = revoked.map((site) => ({
      serial: Buffer.from(readCertificate(signing(site)).serial, "hex"),
      at: ago,
    }));
    const nextUpdate = new Date(+listed + 2 * dayMs);
    const crls = [issueCrl({ number: 9, thisUpdate: listed, nextUpdate, revoked: entries }, ca)];
    const identity = { ...site.identity, trust: { ...site.identity.trust, crls } };
    const { files } = await evidenceOf({ ...site, identity, now: () => at }, record);
    const folder = mkdtempSync(join(base, name));
    for (const [file, octets] of Object.entries(files))
      writeFileSync(join(folder, file), Buffer.from(octets, "base64"));
    return { folder, page: readFileSync(join(folder, "README.md"), "utf8") };
  }

  beforeAll(async () => {
    for (const site of ["hospital-a", "hospital-b"] as const) await exchange.stop(site);
    atA = await siteAlone(exchange.env);
    atB = await siteAlone({ ...exchange.env, SITE: "hospital-b" });
    ca = authority(exchange.env.PKI ?? "", future, future);
  });
  afterAll(async () => {
    for (const site of [atA, atB]) await site?.store.close();
  });

  test("it still proves it, as of when each signed: their certificates have ended", async () => {
    const { folder, page } = await evidence("ended", [], future);
    expect(
      page.match(/^\| `(author|receipt|request).*$/gm)?.map((row) => row.includes("the certificate has ended since")),
    ).toEqual(Array.from({ length: 5 }, () => true));
    run(folder);
    // The lists are asked all the same.
    writeFileSync(
      join(folder, "trust.pem"),
      readFileSync(join(folder, "trust.pem"), "utf8").split("-----BEGIN X509 CRL")[0] ?? "",
    );
    expect(() => run(folder)).toThrow(/CRL/);
  });

  test("by a revocation list that has ended, and still counts here", async () => {
    const now = new Date();
    const { folder, page } = await evidence("late", [], now, atA, [now, new Date(+now - 2 * dayMs - 3_600_000)]);
    expect(page).not.toMatch(/not proven|the certificate has ended/);
    run(folder);
    const revoked = await evidence("late-revoked", ["hospital-b"], new Date(+now - dayMs), atA, [
      now,
      new Date(+now - 2 * dayMs - 3_600_000),
    ]);
    expect(revoked.page).toMatch(/`receipt-delivered-hospital-b\.\*` .*not proven any more/);
    run(revoked.folder);
  });

  test("a house whose key was revoked since has signed what the registry dated, and nothing else", async () => {
    const { folder, page } = await evidence("revoked", ["hospital-a"], new Date(+future - dayMs));
    expect(page).toMatch(/`author\.\*` .*the certificate was revoked since/);
    run(folder);
    // The house that fetched it has the registry's word as well.
    const fetched = await evidence("fetched", ["hospital-a"], new Date(+future - dayMs), atB);
    expect(fetched.page).toMatch(/`author\.\*` .*the certificate was revoked since/);
    expect(fetched.page).toMatch(/`response-hospital-a\.\*` .*not proven any more/);
    run(fetched.folder);
    const before = await evidence("before", ["hospital-a"], new Date(Date.now() - dayMs));
    expect(before.page).toMatch(/`author\.\*` .*not proven any more/);
    expect(commandsIn(before.folder).filter((command) => command.includes("-in author.p7s"))).toEqual([]);
  });

  test("what a registry signed whose key was revoked proves and dates nothing any more", async () => {
    const { folder, page } = await evidence("registry", ["hospital-a", "registry"], new Date(+future - dayMs));
    for (const name of ["author", "receipt-registered-registry"])
      expect(page).toMatch(new RegExp(`\`${name}\\.\\*\` .*not proven any more`));
    run(folder);
  });
});

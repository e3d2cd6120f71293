/** Health: live is that the process answers, ready is what it can do, one line a check. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { initPki, revoke } from "../commands/pki/index.ts";
import { pemToDer, readCertificate } from "../envelope/certificate.ts";
import type { LogFields } from "../log.ts";
import { loadConfig } from "../pipeline/config.ts";
import { expiryOf } from "../pipeline/expiry.ts";
import { loadKeys } from "../pipeline/identity.ts";
import { openReadiness, type Readiness } from "../pipeline/readiness.ts";
import { openReconciler } from "../pipeline/reconcile.ts";
import type { Site } from "../pipeline/site.ts";
import { openStore } from "../store/index.ts";
import type { Store } from "../store/store.ts";
import { openExchange, type TestExchange, testPki } from "./sites.ts";

const now = new Date("2026-01-01T00:00:00Z");
const inDays = (days: number): Date => new Date(now.getTime() + days * 24 * 3600 * 1000);

test.each([
  [90, undefined],
  [60, undefined],
  [59.9, 60],
  [30, 60],
  [29.9, 30],
  [6.9, 7],
  [0.9, 1],
  [0, 0],
  [-3, 0],
])("what ends in %d days has passed the step of %s", (days, step) => {
  expect(expiryOf(inDays(days), now)).toEqual({ days: Math.floor(days), step });
});

describe("a site whose certificates end in 20 days", () => {
  let at: TestExchange;
  beforeAll(async () => {
    const pki = join(mkdtempSync(join(tmpdir(), "semrs-pki-")), "pki");
    await initPki(pki, ["registry", "hospital-a", "hospital-b"], { now: new Date(), days: 20 });
    at = await openExchange(pki);
  });
  afterAll(() => at.close());
  const ask = (path: string, accept = "*/*") =>
    fetch(`http://127.0.0.1:${at.env.A_ADMIN}${path}`, { headers: { accept } });

  test("is live and ready, and warns: one line a check, without a token", async () => {
    expect(await (await ask("/health/live")).json()).toEqual({ live: true });
    const ready = await ask("/health/ready", "text/plain");
    expect(ready.status).toBe(200);
    const lines = (await ready.text()).trimEnd().split("\n");
    expect(lines.map((line) => line.replace(/:.*/, ""))).toEqual([
      "ready",
      "pass store",
      "pass disk",
      "warn certificate sign",
      "warn certificate decrypt",
      "warn certificate tls",
      "pass listeners",
      "pass reconciliation",
      "pass channels",
    ]);
    expect(lines[3]).toMatch(/: expires in 19 d, on \d{4}-\d\d-\d\d; have it issued anew$/);
    expect(lines).toContain("pass listeners: 3 open");
    const warned = at.log.filter(({ site, event }) => site === "hospital-a" && event === "health.warned");
    expect(warned.map(({ fields }) => fields.station)).toEqual([
      "certificate sign",
      "certificate decrypt",
      "certificate tls",
    ]);
  });

  test("says the same as JSON, for programs", async () => {
    const body = (await (await ask("/health/ready")).json()) as { ready: boolean; checks: object[]; systems: object };
    expect(body).toMatchObject({ ready: true, systems: {} });
    expect(body.checks).toContainEqual({ check: "listeners", state: "pass", says: "3 open" });
  });
});

describe("checks that fail", () => {
  let store: Store;
  let readiness: Readiness;
  let at = new Date();
  let authorityEnds: Date;
  let pki: string;
  /** The list of the authority as it is now. */
  let takeList: () => void;
  const logged: string[] = [];
  beforeAll(async () => {
    pki = await testPki();
    const data = mkdtempSync(join(tmpdir(), "semrs-ready-"));
    const config = loadConfig(join(import.meta.dirname, "..", "channels.yaml"), {
      SITE: "hospital-a",
      PKI: pki,
      DATA: data,
    });
    const { identity, tls, storageKey } = loadKeys(config);
    const listed = (): Site["identity"] => {
      const crls = pemToDer(readFileSync(join(pki, "ca.crl"), "utf8"), "X509 CRL");
      return { ...identity, trust: { ...identity.trust, crls } };
    };
    store = await openStore({ folder: config.own.data, key: storageKey, now: () => at });
    const log = (event: string, { station }: LogFields = {}): void => void logged.push(`${event} ${station}`);
    const site = {
      ...{ config, tls, store, log, now: () => at, signal: new AbortController().signal },
      identity: listed(),
    } as unknown as Site;
    takeList = () => void Object.assign(site, { identity: listed() });
    authorityEnds = readCertificate(identity.trust.anchors[0] ?? new Uint8Array()).notAfter;
    readiness = openReadiness(site, openReconciler(site));
  });
  afterAll(async () => {
    await readiness.stop();
  });
  const failing = async () =>
    (await readiness.checks()).filter(({ state }) => state === "fail").map(({ check, says }) => `${check}: ${says}`);

  test("a site that is starting, and a listener that has closed", async () => {
    expect(await failing()).toEqual(["listeners: the site is starting"]);
    let isListening = true;
    readiness.opened([{ name: "his mllp", address: "127.0.0.1:2575", isListening: () => isListening }]);
    expect(await failing()).toEqual([]);
    isListening = false;
    expect(await failing()).toEqual(["listeners: not listening any more: his mllp 127.0.0.1:2575; restart the site"]);
    isListening = true;
  });

  test("certificates that have expired, and a revocation list that is too old to open anything", async () => {
    at = new Date(Date.now() + 9 * 365 * 24 * 3600 * 1000);
    expect((await failing()).map((line) => line.replace(/\d{4}-\d\d-\d\d/, "DAY"))).toEqual([
      "certificate sign: expired on DAY; have it issued anew",
      "certificate decrypt: expired on DAY; have it issued anew",
      "certificate tls: expired on DAY; have it issued anew",
      "revocation lists: should have been renewed on DAY; nothing is opened any more",
    ]);
    at = new Date();
  });

  test("a certificate of the house's own that was revoked", async () => {
    const list = join(pki, "ca.crl");
    const before = readFileSync(list);
    revoke(pki, readFileSync(join(pki, "hospital-a", "sign.crt"), "utf8"), new Date());
    takeList();
    expect((await failing()).map((line) => line.replace(/\d{4}-\d\d-\d\d/, "DAY"))).toEqual([
      "certificate sign: revoked on DAY, so that partners refuse what it stands for; make a new key and have it issued",
    ]);
    writeFileSync(list, before);
    takeList();
    expect(await failing()).toEqual([]);
  });

  test("an authority is told of while it ends soon, and not once it has ended: it may be trusted for what it issued", async () => {
    const told = async (days: number) => {
      at = new Date(authorityEnds.getTime() + days * 24 * 3600 * 1000);
      const found = (await readiness.checks()).filter(({ check }) => check.startsWith("certificate authority"));
      at = new Date();
      return found.map(({ check, state, says }) => `${state} ${check}: ${says.replace(/\d{4}-\d\d-\d\d/, "DAY")}`);
    };
    expect([await told(-61), await told(1)]).toEqual([[], []]);
    expect(await told(-19.5)).toEqual([
      "warn certificate authority O=SEMRS, CN=SEMRS exchange CA: ends in 19 d, on DAY; every house needs the next one beside it",
    ]);
  });

  test("what a person has paused is told when it begins and when it is over, each time", async () => {
    const stop = { kind: "channel", name: "reports", reason: "r", since: now.toISOString() } as const;
    logged.length = 0;
    for (const mode of ["paused", undefined, "draining"] as const) {
      await store.commit([mode ? store.stops.put({ ...stop, mode }) : store.stops.end("channel", "reports")]);
      readiness.opened([]);
    }
    expect(logged).toEqual(["warned", "passed", "warned"].map((each) => `health.${each} channel reports`));
    await store.commit([store.stops.end("channel", "reports")]);
  });

  test("a clock that is behind what the journal has, and until it is not", async () => {
    await store.commit([
      store.steps.add({ subject: store.newId(), at: at.toISOString(), station: "open", event: "opened" }),
    ]);
    const last = at;
    at = new Date(last.getTime() - 3_600_000);
    expect(await failing()).toEqual([
      `clock: the clock is behind the journal, whose last entry is of ${last.toISOString()}; set it, or say that it is right: semrs clock confirm; until then nothing goes to a partner or comes from one`,
    ]);
    at = last;
    expect(await failing()).toEqual([]);
  });

  test("a store that takes nothing more, and cannot be read", async () => {
    await store.close();
    expect(await failing()).toEqual([
      "store: the store is closed",
      expect.stringMatching(/^clock: cannot be looked at: unexpected Error at /),
      expect.stringMatching(/^stops: cannot be looked at: unexpected Error at /),
    ]);
  });
});

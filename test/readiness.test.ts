/** Health: live is that the process answers, ready is what it can do, one line a check. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { initPki } from "../commands/pki/index.ts";
import { expiryOf } from "../pipeline/expiry.ts";
import { openExchange, type TestExchange } from "./sites.ts";

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

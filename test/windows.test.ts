/** A destination with a delivery window in a running house: what is due waits, says so, and goes once the window is another. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readConfig } from "../pipeline/config.ts";
import { semrs } from "./commands/cli.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
let shipped: string;
beforeAll(async () => {
  at = await openExchange(await testPki(), { RETRY: "100ms" });
  shipped = readFileSync(join(at.folder, "hospital-a.yaml"), "utf8");
});
afterAll(() => at.close());

const timeIn = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16);

test("outside its window nothing is sent to a partner, and nothing fails; a reload with another window sends it", async () => {
  const file = join(at.folder, "hospital-a.yaml");
  const admin = at.admin("hospital-a");
  const take = async (window: string): Promise<void> => {
    const after = shipped.replace(/^ {2}registry: +\{ /m, `$&window: { between: [${window}], timeZone: UTC }, `);
    expect(after).not.toBe(shipped);
    writeFileSync(file, after);
    expect(await admin.post("/reload", {})).toMatchObject({ changed: ["partners.registry.window"] });
  };
  await take(`"${timeIn(4)}", "${timeIn(6)}"`);
  const report = cda({ form: "113", extension: "W.1", patient: chen, code: "x", display: "x", title: "x", body: "x" });
  expect(await at.message(mdmFor(report, { controlId: "W1" }))).toMatchObject({ state: "delivered" });
  type Traced = { readonly deliveries: readonly { state: string; attempts: number; reason: string | null }[] };
  const deliveries = async () => (await admin.get<Traced>("/trace/W1")).deliveries;
  await until("queued", async () => (await deliveries()).length === 1);
  expect(await deliveries()).toMatchObject([
    { state: "queued", attempts: 0, reason: expect.stringMatching(/^waits for its window, opens at \S+Z$/) },
  ]);
  const where = ["--admin", `http://127.0.0.1:${at.env.A_ADMIN}`, "--data", join(at.folder, "data", "hospital-a")];
  expect((await semrs(["status", ...where])).err).toMatch(
    /^registry takes deliveries from .* \(UTC\): 1 wait, opens at/m,
  );
  await take(`"${timeIn(-4)}", "${timeIn(4)}"`);
  await until("sent", async () => (await deliveries())[0]?.state === "delivered");
  expect((await semrs(["status", ...where])).err).not.toMatch(/registry takes/);
});

test.for([
  ["that ends when it begins", 'between: ["22:00", "22:00"]', "14d", ["CONFIG_VALUE"]],
  ["with a time of day that is none", 'between: ["22:00", "24:00"]', "14d", ["CONFIG_VALUE"]],
  ["in no time zone", 'between: ["22:00", "06:00"], timeZone: Asia/Formosa', "14d", ["CONFIG_VALUE"]],
  ["that may be shut for longer than is tried", 'between: ["22:00", "06:00"]', "12h", ["WINDOW_OUTLIVES_RETRY"]],
  ["as it should be", 'between: ["22:00", "06:00"], timeZone: Europe/Berlin', "14d", []],
] as const)("semrs check finds a window %s", ([, window, tried, codes]) => {
  const file = join(at.folder, "window.yaml");
  const edited = shipped
    .replace(/^ {2}registry: +\{ /m, `$&window: { ${window} }, `)
    .replace(/for: \d+d/, `for: ${tried}`);
  writeFileSync(file, edited);
  const { findings } = readConfig(file, { ...process.env, ...at.env, SITE: "hospital-a" });
  const own = findings.filter(({ code }) => code === "CONFIG_VALUE" || code.startsWith("WINDOW"));
  expect(own.map(({ code }) => code)).toEqual(codes);
});

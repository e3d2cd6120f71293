/** A clock that was ahead and was put right, or that a house does not believe: told everywhere, until a person says that it is right. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { semrs } from "./commands/cli.ts";
import { type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";

const hourMs = 3_600_000;
let house: House;
beforeAll(async () => {
  house = await openHouse(await testPki(), (yaml) =>
    yaml.replace("  hospital-a:\n", "  hospital-a:\n    alerts: { every: 100ms, syslog: [{ to: '127.0.0.1:1' }] }\n"),
  );
});
afterAll(() => house.close());

const ready = async (): Promise<readonly [number, string | undefined]> => {
  const url = `http://127.0.0.1:${house.admin.port}/health/ready`;
  const answer = await fetch(url, { headers: { accept: "text/plain" } });
  return [answer.status, /^\w+ clock: .*$/m.exec(await answer.text())?.[0]];
};
const alerts = (): readonly string[] =>
  house.log
    .filter(({ event, fields }) => event.startsWith("alert.") && fields.station === "clock")
    .map(({ event }) => event);
async function confirm() {
  const data = mkdtempSync(join(tmpdir(), "semrs-clock-"));
  writeFileSync(join(data, "admin.token"), house.admin.token());
  return await semrs([
    "clock",
    "confirm",
    "--reason",
    "it was 8 h ahead",
    "--admin",
    `http://127.0.0.1:${house.admin.port}`,
    "--data",
    data,
  ]);
}

test("the journal has entries of a clock that was hours ahead: nothing is exchanged until a person says that it is right", async () => {
  const { store } = house;
  const at = new Date(Date.now() + 8 * hourMs).toISOString();
  await store.commit([store.steps.add({ subject: store.newId(), station: "source", event: "accepted", at })]);
  expect(await ready()).toEqual([
    503,
    expect.stringMatching(/^fail clock: .* semrs clock confirm; until then nothing/),
  ]);
  await until("it is told", () => alerts().includes("alert.raised"));
  expect(await confirm()).toMatchObject({ exit: 0, out: expect.stringMatching(/^the clock is right at 2\d{3}-/) });
  store.steps.checkClock(new Date());
  expect(await ready()).toEqual([200, undefined]);
  expect(store.audit.after(0, 100).filter(({ event }) => event === "clock")).toMatchObject([
    { reason: "it was 8 h ahead" },
  ]);
  await until("its end is told", () => alerts().includes("alert.resolved"));
  expect(house.log.filter(({ event }) => event === "admin.clock")).toMatchObject([
    { level: "warn", fields: { reason: "the clock is right: it was 8 h ahead" } },
  ]);
});

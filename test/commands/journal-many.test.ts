/** The morning after a HIS said no for two hours: a list says that it is not all, and one command decides about all of them. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Listed } from "../../commands/journal/list.ts";
import type { Delivery } from "../../store/store.ts";
import { type House, openHouse } from "../house.ts";
import { testPki } from "../sites.ts";
import { semrs } from "./cli.ts";

const others = 1_001;
let house: House;
let at: readonly string[];
const parked = (patch: Partial<Delivery>): Delivery => ({
  id: house.store.newId(),
  kind: "message",
  channel: "documents",
  destination: "his",
  order: null,
  record: null,
  state: "parked",
  attempts: 1,
  due: Date.now(),
  code: "PEER_REFUSED",
  reason: "the system answered AE 207",
  createdAt: new Date().toISOString(),
  payload: null,
  ...patch,
});
beforeAll(async () => {
  house = await openHouse(await testPki());
  const data = mkdtempSync(join(tmpdir(), "semrs-token-"));
  writeFileSync(join(data, "admin.token"), house.admin.token());
  at = ["--admin", `http://127.0.0.1:${house.admin.port}`, "--data", data];
  // Behind a whole page of what was parked for something else.
  const rows = [
    ...Array.from({ length: others }, () => parked({ code: "CONFIG_INVALID" })),
    parked({ kind: "identify" }),
    parked({ destination: "pacs", kind: "study" }),
    parked({}),
    parked({}),
  ];
  await house.store.commit(rows.map((row) => house.store.deliveries.add(row)));
});
afterAll(() => house.close());

const parkedFor = async (code: string): Promise<number> => {
  const { deliveries } = JSON.parse(
    (await semrs(["journal", "list", "--state", "parked", "--limit", "1000", "--json", ...at])).out,
  ) as Listed;
  return deliveries.filter((each) => each.code === code).length;
};

test("a list that is not all of it says so, for a person and for a program", async () => {
  const listed = await semrs(["journal", "list", "--held", "--limit", "3", ...at]);
  expect(listed.out.match(/ parked /g)).toHaveLength(3);
  expect(listed.err).toMatch(/the oldest 3; more are parked/);
  const json = await semrs(["journal", "list", "--json", ...at]);
  expect(JSON.parse(json.out)).toMatchObject({ more: ["parked"] });
});

test("all that were parked for one reason, to one system, go on by one command; whose a record is, is decided one by one", async () => {
  const reason = ["--reason", "the HIS was mended"];
  for (const wrong of [
    ["--parked"],
    ["--code", "PEER_REFUSED"],
    ["ffffffff", "--parked", "--code", "PEER_REFUSED"],
    [],
  ])
    expect((await semrs(["journal", "release", ...wrong, ...reason, ...at])).exit).toBe(64);
  const many = ["--parked", "--code", "PEER_REFUSED", ...reason, ...at];
  const released = await semrs(["journal", "release", "--to", "his", ...many]);
  expect(released).toMatchObject({ exit: 0, out: "2 released, 0 not\n" });
  expect(released.err).toMatch(/1 that ask whose record it is are left/);
  expect((await semrs(["journal", "discard", "--to", "pacs", ...many])).out).toBe("1 discarded, 0 not\n");
  const told = house.log.filter(({ event }) => event.startsWith("admin.")).map(({ event }) => event);
  expect(told).toEqual(["admin.released", "admin.released", "admin.discarded"]);
  expect(await parkedFor("CONFIG_INVALID")).toBe(1000);
});

/** What a house pushes of one report follows one another, whoever of them is tried when: the report, what is added to it, what replaces it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";

let house: House;
beforeAll(async () => {
  // Hospital B is not there: all of them wait.
  house = await openHouse(await testPki(), (yaml) =>
    yaml.replaceAll("route: [repository]", "route: [repository, hospital-b]"),
  );
});
afterAll(() => house.close());

/** Once it waits for hospital B: what it has in common with what it follows. */
async function pushed(name: string, event: string, parent?: string) {
  const document = cda({
    form: "113",
    extension: name,
    patient: chen,
    code: "11502-2",
    display: "x",
    title: "t",
    body: "x",
  });
  const names = { controlId: name, event: `MDM^${event}^MDM_T02`, name: `${name}^HIS` };
  const before = new Set(pushes().map(({ id }) => id));
  await house.ask(mdmFor(document, { ...names, ...(parent ? { parent: `${parent}^HIS` } : {}) }));
  await until(`${name} is to be pushed`, () => pushes().some(({ id }) => !before.has(id)));
  return pushes().find(({ id }) => !before.has(id))?.order;
}
const pushes = () => house.store.deliveries.list({ limit: 100 }).filter(({ kind }) => kind === "push");

test("a report, its addendum, what replaces it, and what is added to that", async () => {
  const report = await pushed("REPORT", "T02");
  expect(report).toEqual(expect.any(String));
  expect(await pushed("ADDED", "T06", "REPORT")).toBe(report);
  expect(await pushed("NEXT", "T10", "REPORT")).toBe(report);
  expect(await pushed("ADDED_LATER", "T06", "NEXT")).toBe(report);
  expect(await pushed("ANOTHER", "T02")).not.toBe(report);
});

/** What a running house finds out about itself, and tells when it begins and when it is over. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { revoke } from "../commands/pki/index.ts";
import { cda, chen, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";
import { arrivalRow } from "./store/rows.ts";

const hourMs = 3_600_000;
let house: House;
let pki: string;
beforeAll(async () => {
  pki = await testPki();
  house = await openHouse(pki, (yaml) =>
    yaml
      .replace("trust: {", "trust: { renew: 100ms,")
      .replace(
        "  hospital-a:\n",
        "  hospital-a:\n    alerts: { every: 100ms, heldAge: 1s, syslog: [{ to: '127.0.0.1:1' }] }\n",
      ),
  );
});
afterAll(() => house.close());

/** Alerts of a kind, as they were told. */
const told = (kind: string): readonly string[] =>
  house.log
    .filter(({ event, fields }) => /^alert\.(raised|resolved)$/.test(event) && fields.station === kind)
    .map(({ event, fields }) => `${event.slice(6)} ${fields.peer}`.trim());
/** The id of something that came so long ago. */
const idOf = (agoMs: number): string =>
  (Date.now() - agoMs).toString(16).padStart(12, "0") + randomBytes(10).toString("hex");

test("a feed that never rested and has sent nothing for three hours, until it sends again", async () => {
  const rows = Array.from({ length: 48 }, (_, n) => arrivalRow(idOf((n + 3) * hourMs), { source: "his" }));
  await house.store.commit(rows.map((row) => house.store.arrivals.add(row)));
  await until("told", () => told("silent-feed").length > 0);
  expect(await house.ask(sampleMessage("adt-a01"))).toContain("MSA");
  await until("told of the end", () => told("silent-feed").length > 1);
  expect(told("silent-feed")).toEqual(["raised his", "resolved his"]);
});

test("something that is held for a person, until nothing is", async () => {
  const report = (display: string) =>
    cda({ form: "113", extension: "HELD.1", patient: chen, code: "11502-2", display, title: "t", body: "" });
  for (const display of ["x", "y"]) await house.ask(mdmFor(report(display), { controlId: `HELD${display}` }));
  await until("told", () => told("held-age").length > 0);
  const held = house.store.items.list({ state: "held", limit: 10 });
  expect(held).toHaveLength(1);
  await house.store.commit(held.map(({ id }) => house.store.items.mark(id, { state: "discarded" })));
  await until("told of the end", () => told("held-age").length > 1);
  expect(told("held-age")).toEqual(["raised", "resolved"]);
});

test("its own certificate that was revoked, once the list says so", async () => {
  revoke(pki, readFileSync(join(pki, "hospital-a", "sign.crt"), "utf8"), new Date());
  await until("told", () => told("certificate").length > 0);
  expect(told("certificate")).toEqual(["raised sign revoked"]);
});

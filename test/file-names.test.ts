/** A watched folder's file names, which may be patients': no log line has them, nor the journal. */
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";

let house: House | undefined;
afterAll(() => house?.close());

const name = "CHEN_YICHUN_A223456781.hl7";

test("what is refused, and what cannot be kept", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-names-"));
  const watched = `directory: { path: ${folder}, mediaType: application/hl7-v2, everySeconds: 0.02 }`;
  house = await openHouse(await testPki(), (yaml) =>
    yaml.replace("    systems:\n", `    systems:\n      notes: { ${watched} }\n`),
  );
  const { admin, log } = house;
  const put = (): void => writeFileSync(join(folder, name), "no message");
  put();
  await until("it is refused", () => existsSync(join(folder, "refused", name)));
  const ask = (path: string, init = {}) =>
    fetch(`http://127.0.0.1:${admin.port}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${admin.token()}`, "content-type": "application/json" },
    }).then((response) => response.text());
  const journal = await ask("/journal");
  expect(journal).toMatch("HL7_MALFORMED");
  expect(journal).not.toMatch(name);
  // Drained, the house keeps nothing of what comes; that is told once, however often it looks.
  await ask("/stops/notes/drain", { method: "POST", body: JSON.stringify({ reason: "a test" }) });
  put();
  await until("it is told", () => log.some(({ event }) => event === "directory.waiting"));
  expect(JSON.stringify(log)).not.toMatch(name);
  expect(log.filter(({ event }) => event === "source.unkept")).toEqual([]);
});

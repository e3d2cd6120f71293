/** `semrs test` beside a live house: nothing of that house is taken, told or waited for. */
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { configsOf, housesOf, openHouses } from "../../commands/test/houses.ts";
import { testSchema } from "../../commands/test/schema.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { admission, one, record, shipped, tested } from "./tested.ts";

test("files that wait in a watched folder stay there", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "semrs-watched-")), "incoming");
  mkdirSync(path);
  writeFileSync(join(path, "live.hl7"), sampleMessage("mdm-t02-116"));
  const folder = `      files: { directory: { path: ${path}, mediaType: application/hl7-v2, everySeconds: 0.05 } }\n`;
  const wanted = one([record, record, record], { channel: "documents", findings: [] });
  const { exit, out } = await tested(
    [
      ["    systems:\n      his:\n", `    systems:\n${folder}      his:\n`],
      ["    source: [his, pacs]", "    source: [his, pacs, files]"],
    ],
    wanted,
  );
  expect({ exit, out }).toMatchObject({ exit: 0 });
  expect(readdirSync(path)).toEqual(["live.hl7"]);
  expect(existsSync(join(path, "done"))).toBe(false);
}, 60_000);

test("no address of a live house's systems is left", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-standby-"));
  const yaml = shipped.replaceAll(
    "refusals: { AE: park",
    "standby: [192.0.2.1:2575], clearText: x, refusals: { AE: park",
  );
  writeFileSync(join(folder, "channels.yaml"), yaml);
  const times = testSchema.parse({ tests: [{ name: "x", send: record }] });
  const configs = configsOf(join(folder, "channels.yaml"), times);
  expect(JSON.stringify(configs)).toContain("192.0.2.1");
  const pki = join(folder, "pki");
  await initPki(pki, housesOf(configs), { now: new Date() });
  const houses = await openHouses(configs, pki, join(folder, "houses"), times.times);
  await houses.close();
  for (const { config } of houses.houses.values())
    expect(JSON.stringify(config.own.systems)).not.toContain("192.0.2.1");
}, 60_000);

test("what a message refers to is not asked of the live HIS", async () => {
  let asked = 0;
  const his = createServer((socket) => {
    asked += 1;
    socket.destroy();
  }).listen(0, "127.0.0.1");
  await once(his, "listening");
  const base = `http://127.0.0.1:${(his.address() as AddressInfo).port}/reports/`;
  const folder = mkdtempSync(join(tmpdir(), "semrs-referring-"));
  const message = Buffer.from(sampleMessage("mdm-t02-121")).toString("latin1");
  const referring = message.replace(/OBX\|1\|ED\|([^|]*)\|\|[^|\r]*/, `OBX|1|RP|$1||${base}1.xml^HIS^TEXT^XML`);
  expect(referring).toContain(base);
  writeFileSync(join(folder, "referring.hl7"), referring, "latin1");
  const allowed = `references: [{ prefix: "${base}", clearText: on this machine }], charset: from-msh-18, answer`;
  const send = { to: "his", files: [join(folder, "referring.hl7")] };
  const { exit, out } = await tested([["charset: from-msh-18, answer", allowed]], one(send, { routed: [] }));
  his.close();
  expect({ exit, out, asked }).toMatchObject({ exit: 0, asked: 0 });
}, 60_000);

test("whom a live house tells of alerts is not told of a test's: what names its secret need not be here", async () => {
  const to = '    alerts: { webhooks: [{ url: "https://127.0.0.1:9", token: /nowhere/token }] }\n    repository:';
  const { exit, out } = await tested([["    repository:", to]], one(record, { channel: "documents" }));
  expect({ exit, out }).toMatchObject({ exit: 0 });
}, 60_000);

test("a partner's delivery window does not decide whether a test passes", async () => {
  const shut = shutNow();
  const { exit, out } = await tested(
    [['/registry" }', `/registry", window: { between: ${JSON.stringify(shut)}, timeZone: UTC } }`]],
    one([record, admission], { routed: ["registry"] }),
  );
  expect({ exit, out }).toMatchObject({ exit: 0 });
}, 60_000);

test("systems with MLLP release 2 are sent to, and deliver", async () => {
  const { exit, out } = await tested(
    [
      ["charset: from-msh-18, answer", "release: 2, charset: from-msh-18, answer"],
      ["refusals: { AE: park", "release: 2, refusals: { AE: park"],
    ],
    one([{ ...record, expect: { ack: "CA" } }, admission], {
      delivered: [{ to: "hospital-b/his", message: "MDM^T02", document: "identical" }],
    }),
  );
  expect({ exit, out }).toMatchObject({ exit: 0 });
}, 60_000);

test.each([
  ["profiles: [semrs-2]", { routed: ["registry", "old"] }],
  ["profiles: [smime-4]", { routed: ["registry", "old"] }],
  // Nobody signs for what comes in it.
  ["profiles: [semrs-2017], allowLegacy: true", { routed: ["registry"], opensFor: ["hospital-a", "old"] }],
])(
  "a partner that the file does not describe is pushed to: %s",
  async (spoken, wanted) => {
    const old = `  old: { url: "https://127.0.0.1:1", certificates: old, ${spoken} }\n`;
    const { exit, out } = await tested(
      [
        ["  hospital-a: { url:", `${old}  hospital-a: { url:`],
        ["route: [repository]\n  incoming", "route: [repository, old]\n  incoming"],
      ],
      { site: "hospital-a", tests: [{ name: "it travels", send: record, expect: wanted }] },
    );
    expect({ exit, out }).toMatchObject({ exit: 0 });
  },
  60_000,
);

/** A minute, half a day from now. */
function shutNow(): readonly [string, string] {
  const at = (ms: number): string => new Date(Date.now() + ms).toISOString().slice(11, 16);
  return [at(43_200_000), at(43_260_000)];
}

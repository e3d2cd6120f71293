/** `semrs check` of the files that systems and alerts name beside the house's own keys: each has to be there. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testPki } from "../sites.ts";
import { checked, type Edit } from "./checked.ts";

const env = { SITE: "hospital-a", A_HIS: "0", A_PACS: "0", A_PORT: "0", A_ADMIN: "0" };
const his = "charset: from-msh-18,";
const alerts = (block: string): Edit => [["    run: [imaging", `    alerts: { ${block} }\n    run: [imaging`]];

test.each<[string, (path: string) => Edit]>([
  ["the authority of a HIS", (path) => [[his, `tls: { trust: [${path}] }, ${his}`]]],
  ["the authority of a PACS", (path) => [["callers: []", `callers: [], tls: { trust: [${path}] }`]]],
  [
    "the authority of a document server",
    (path) => [[his, `references: [{ prefix: "https://docs.example/", trust: [${path}] }], ${his}`]],
  ],
  ["the authority of a syslog server", (path) => alerts(`syslog: [{ to: "siem.example:6514", ca: ${path} }]`)],
  ["the authority of a webhook", (path) => alerts(`webhooks: [{ url: "https://chat.example/", ca: ${path} }]`)],
  ["the token of a webhook", (path) => alerts(`webhooks: [{ url: "https://chat.example/", token: ${path} }]`)],
])("KEY_MISSING: %s", async (_name, edit) => {
  const keys = await testPki();
  const missing = join(keys, "nowhere.pem");
  const options = { keys, args: [], env };
  const { exit, findings } = await checked(edit(missing), options);
  expect(findings).toMatchObject([{ code: "KEY_MISSING", file: expect.stringContaining("nowhere.pem") }]);
  expect(exit).toBe(78);
  writeFileSync(missing, "here");
  expect((await checked(edit(missing), options)).findings).toEqual([]);
});

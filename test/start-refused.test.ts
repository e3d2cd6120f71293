/** A house that cannot start has done nothing: what it has to deliver is as it was. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ports } from "../commands/demo/ports.ts";
import { startSite } from "../commands/start-site.ts";
import { loadConfig } from "../pipeline/config.ts";
import { loadKeys } from "../pipeline/identity.ts";
import { openStore } from "../store/index.ts";
import { testPki } from "./sites.ts";
import { deliveryRow } from "./store/rows.ts";

test("a file of alerts that is not there: CONFIG_INVALID before the first attempt", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-refused-"));
  const file = join(folder, "channels.yaml");
  const alerts = "alerts: { syslog: [{ to: '127.0.0.1:1', ca: no.crt }] }";
  const shipped = readFileSync(join(import.meta.dirname, "..", "channels.yaml"), "utf8");
  writeFileSync(file, shipped.replace("  hospital-a:\n", `  hospital-a:\n    ${alerts}\n`));
  const free = await ports(["A_PORT", "A_ADMIN", "A_HIS", "A_PACS"]);
  const config = loadConfig(file, { SITE: "hospital-a", PKI: await testPki(), DATA: folder, ...free });
  const options = { folder: config.own.data, key: loadKeys(config).storageKey, now: () => new Date() };
  const before = await openStore(options);
  const [id, createdAt] = [before.newId(), new Date().toISOString()];
  await before.commit([
    before.deliveries.add(deliveryRow(id, { kind: "receipt", destination: "hospital-b", createdAt })),
  ]);
  await before.close();
  await expect(startSite(config, () => undefined)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  const after = await openStore(options);
  expect(after.deliveries.find(id)).toMatchObject({ state: "queued", attempts: 0 });
  await after.close();
  // What had been opened would find the store closed by now.
  await new Promise((resolve) => setImmediate(resolve));
});

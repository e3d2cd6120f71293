/** What waits under names that the configuration has no more: counted together, and as old as the oldest. */
import { expect, test } from "vitest";
import { openMetrics } from "../../pipeline/metrics.ts";
import { openAlertSite } from "../alert-site.ts";
import { testPki } from "../sites.ts";
import { deliveryRow } from "../store/rows.ts";

test("two names that are gone are one label: the sum of what waits, the age of the oldest", async () => {
  const { store, site, close } = await openAlertSite(await testPki());
  const rows = ["gone", "left"].map((destination, n) =>
    deliveryRow(store.newId(), {
      destination,
      due: 0,
      createdAt: new Date(Date.now() - (n + 1) * 3_600_000).toISOString(),
    }),
  );
  await store.commit(rows.map((row) => store.deliveries.add(row)));
  const lines = (await openMetrics("hospital-a", store, site.config).registry.metrics()).split("\n");
  const told = (name: string) =>
    Number(
      lines
        .find((line) => line.startsWith(`${name}{destination="-"`))
        ?.split(" ")
        .at(-1),
    );
  expect(told("semrs_queue_deliveries")).toBe(2);
  expect(told("semrs_queue_oldest_seconds")).toBeGreaterThanOrEqual(2 * 3600);
  expect(told("semrs_queue_oldest_seconds")).toBeLessThan(3 * 3600);
  await close();
});

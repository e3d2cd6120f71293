/** The write-ahead log behind somebody who reads for long, as a backup does: it grows meanwhile, and is no longer than usual afterwards. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { maxLogBytes } from "../../store/checkpoint.ts";
import { until } from "../sites.ts";
import { arrival, folder, freshStore, store } from "./fresh.ts";

freshStore();

test("what it grew by is given back once nobody reads any more", async () => {
  const size = (): number => statSync(join(folder, "semrs.db-wal")).size;
  const reader = new DatabaseSync(join(folder, "semrs.db"), { readOnly: true });
  reader.exec("BEGIN; SELECT * FROM arrival");
  const facts = "x".repeat(1024 * 1024);
  while (size() <= maxLogBytes) await store.commit([store.arrivals.add(arrival({ facts }))]);
  reader.close();
  await until("it is short", async () => {
    await store.commit([store.arrivals.add(arrival())]);
    return size() <= maxLogBytes;
  });
  expect(store.arrivals.list({ limit: 1 })).toMatchObject([{ facts }]);
});

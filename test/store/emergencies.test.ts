/** Accesses in an emergency of before there was a review: they wait for one, too. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { migrations } from "../../store/schema.ts";
import { emergencyTable } from "../../store/schema-emergency.ts";
import { folder, freshStore, open, store } from "./fresh.ts";
import { asBefore } from "./rows.ts";

freshStore();

test("an upgrade finds them in the audit log", async () => {
  await store.commit([
    ...store.audit.add({ event: "answer", peer: "hospital-b" }),
    ...store.audit.add({ event: "emergency", peer: "hospital-b", reason: "unconscious" }),
    ...store.audit.add({ event: "emergency", peer: "hospital-a", outcome: "refused", code: "QUERY_INVALID" }),
  ]);
  const { seq } = store.audit.head();
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  db.exec(asBefore(migrations.indexOf(emergencyTable), "DROP TABLE emergency"));
  db.close();
  await open();
  expect(store.emergencies.list({ all: false, limit: 10 })).toMatchObject([
    { seq: seq - 1, org: "hospital-b", reviewedAt: null, id: expect.stringMatching(/^[0-9a-f]{32}$/) },
  ]);
  expect(store.emergencies.waiting()).toEqual({ count: 1, since: expect.any(Number) });
});

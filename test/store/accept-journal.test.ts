/** The accept journal convicts the index after a crash: a lost acceptance is named, damage is told from a torn end. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import type { ArrivalRow } from "../../store/store.ts";
import { arrival, checked, folder, freshStore, key, open, store } from "./fresh.ts";

freshStore();

describe("the accept journal", () => {
  async function accept(count: number): Promise<ArrivalRow[]> {
    const rows = Array.from({ length: count }, () => arrival());
    for (const row of rows) await store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }]);
    await store.close();
    return rows;
  }
  const journal = (): string => join(folder, "accept.journal");

  test("names an acceptance that the index lost", async () => {
    const rows = await accept(3);
    const db = new DatabaseSync(join(folder, "semrs.db"));
    db.exec(`DELETE FROM arrival WHERE id = '${rows[2]?.id}'`);
    db.exec("DELETE FROM meta WHERE name = 'journal'");
    db.close();
    await open();
    expect(store.missing).toEqual([{ id: rows[2]?.id, digest: "00" }]);
  });

  test("a torn last record, never acknowledged, is cut off; a changed one before it is damage", async () => {
    await accept(3);
    appendFileSync(journal(), Buffer.from([0, 0, 0, 90, 1, 2, 3]));
    await open();
    expect(store.missing).toEqual([]);
    await store.close();
    const bytes = readFileSync(journal());
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    writeFileSync(journal(), bytes);
    const db = new DatabaseSync(join(folder, "semrs.db"));
    db.exec("DELETE FROM meta WHERE name = 'journal'");
    db.close();
    await expect(open()).rejects.toMatchObject({ code: "STORE_DAMAGED" });
  });

  test("kill -9 in mid-load, three times: everything acknowledged is there, and audited in one chain", async () => {
    await store.close();
    const acknowledged = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, [join(import.meta.dirname, "load.ts"), folder, key.toString("hex")], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const before = acknowledged.size;
      for await (const line of createInterface({ input: child.stdout })) {
        acknowledged.add(line);
        if (acknowledged.size === before + 300) child.kill("SIGKILL");
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    await open();
    expect(store.missing).toEqual([]);
    expect([...acknowledged].filter((id) => store.arrivals.find(id) === undefined)).toEqual([]);
    expect(acknowledged.size).toBeGreaterThanOrEqual(900);
    const { entries, broken } = checked();
    expect(broken).toBeNull();
    const audited = new Set(store.audit.after(0, entries).map(({ patients }) => patients[0]?.ids?.[0]));
    expect([...acknowledged].filter((id) => !audited.has(id))).toEqual([]);
  });
});

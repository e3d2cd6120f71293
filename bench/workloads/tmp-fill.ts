/**
 * A store with years in it: a million arrivals to search, a hundred thousand deliveries that wait for a destination. Rows are
 * the store's own, written in bulk; what is measured is a process of its own that opens the folder as a site does.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { openStore, openTables } from "../../store/index.ts";
import { storageKeys } from "../../store/keys.ts";
import { idSource } from "../../store/rows.ts";
import { type Database, type Row, type Statement, statementOf } from "../../store/sqlite.ts";
import type { Change } from "../../store/store.ts";
import type { Done, Side, Workload } from "../harness.ts";
import { fresh } from "../subjects.ts";

const arrivals = 1_000_000;
const patients = 50_000;
const queued = 100_000;
/** Rows of one transaction while they are written. */
const batch = 10_000;

export const storeLarge = (): readonly Workload[] => [
  {
    name: `journal search of every kind, a page of 100, ${arrivals.toLocaleString("en")} arrivals`,
    unit: "pages/s",
    target: { tailMs: 50, rssMb: 250 },
    units: 2_000,
    quick: 200,
    ours: filled("search", arrivals, 0),
    peers: [],
  },
  {
    name: `a store with ${queued.toLocaleString("en")} queued deliveries opens, and the first is on the wire (1.5 s is asked)`,
    unit: "starts/s",
    target: { tailMs: 1_500 },
    units: 3,
    quick: 1,
    ours: filled("start", queued, queued),
    peers: [],
  },
  {
    name: `deliveries to one destination that is back, of ${queued.toLocaleString("en")} queued`,
    unit: "deliveries/s",
    target: { rate: 1_000 },
    units: 10_000,
    quick: 2_000,
    ours: filled("drain", queued, queued),
    peers: [],
  },
];

const filled = (work: string, rows: number, deliveries: number): Side => ({
  name: "semrs",
  start: async () => {
    const [folder, key] = [join(fresh("large"), "data"), randomBytes(32)];
    await fill(folder, key, rows, deliveries);
    return {
      stop: async () => undefined,
      run: async (units) => {
        const args = [
          join(import.meta.dirname, "store-large-child.ts"),
          work,
          folder,
          key.toString("hex"),
          String(units),
        ];
        const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
        let told = "";
        child.stdout.on("data", (chunk: Buffer) => (told += chunk.toString()));
        const [code] = (await once(child, "close")) as [number | null];
        if (code !== 0) throw new Error(`${work} ended with ${code}`);
        return JSON.parse(told) as Done;
      },
    };
  },
});

/** A store as a site leaves it: arrivals of many patients, each with its document, and deliveries that are due. */
export async function fill(folder: string, key: Uint8Array, rows: number, deliveries: number): Promise<void> {
  const store = await openStore({ folder, key, now: () => new Date() });
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  db.exec("PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL");
  const prepared = new Map<string, StatementSync>();
  const run = (changes: readonly Change[]): void => {
    for (const { sql, params } of changes.map(statementOf)) {
      const statement = prepared.get(sql) ?? db.prepare(sql);
      prepared.set(sql, statement);
      statement.run(...(params as Statement["params"]));
    }
  };
  const reading = { all: (): readonly Row[] => [], get: () => undefined } as unknown as Database;
  const tables = openTables(reading, storageKeys(key), () => new Date());
  const newId = idSource(() => new Date());
  for (let n = 0; n < rows; n += 1) {
    if (n % batch === 0) db.exec(n === 0 ? "BEGIN" : "COMMIT; BEGIN");
    const [id, item, at] = [newId(), newId(), new Date().toISOString()];
    const none = { code: null, reason: null, facts: null } as const;
    const common = {
      mediaType: "application/hl7-v2",
      sender: "127.0.0.1:1",
      repetition: null,
      digest: id,
      blob: null,
    } as const;
    const patient = tables.tokens.of("patient", "", String(n % patients));
    run([
      tables.arrivals.add({
        ...{ ...none, ...common, id, source: "his", channel: "documents", controlId: `C${n}`, receivedAt: at },
        state: n % 20 === 0 ? "refused" : "done",
      }),
      ...tables.items.add({
        ...{ ...none, id: item, kind: "document", arrival: id, channel: "documents", key: id, digest: id, blob: "" },
        ...{ patients: [patient], state: "sealed", since: at, record: id },
        joins: [`accession:${tables.tokens.of("reference", "accession", String(n % (patients * 4)))}`],
      }),
    ]);
    if (n < deliveries)
      run([
        tables.deliveries.add({
          ...{ id: newId(), kind: "message", channel: "documents", destination: "his", order: patient, record: id },
          ...{ state: "queued", attempts: 3, due: Date.now(), code: null, reason: null, createdAt: at, payload: null },
        }),
      ]);
  }
  db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
}

/** A hospital of the demo with years in it: rows are the store's own changes, written in bulk; then it runs as a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { type AdminClient, openAdminClient } from "../commands/admin-client.ts";
import { ports } from "../commands/demo/ports.ts";
import { portNames } from "../commands/demo/sites.ts";
import { initPki } from "../commands/pki/index.ts";
import { sealWhole } from "../envelope/index.ts";
import { loadConfig } from "../pipeline/config.ts";
import { loadKeys } from "../pipeline/identity.ts";
import { openStore, openTables } from "../store/index.ts";
import { idSource } from "../store/rows.ts";
import { type Database, type Row, type Statement, statementOf } from "../store/sqlite.ts";
import type { BlobName, Change, Id } from "../store/store.ts";
import { keysIn } from "../test/store/rows.ts";
import { fresh } from "./subjects.ts";

const root = join(import.meta.dirname, "..");
const siteNames = ["registry", "hospital-a", "hospital-b"] as const;
/** Changes of one transaction while they are written. */
const batch = 50_000;
const readyMs = 60_000;
const lookMs = 5;

/** What rows are made of. */
export type Past = {
  readonly tables: ReturnType<typeof openTables>;
  /** Ids rise, and begin with their time. */
  newId(at: Date): Id;
  /** Keeps a document, and gives its blob. */
  keep(document: Uint8Array): BlobName;
};
export type Living = {
  readonly pid: number;
  readonly admin: AdminClient;
  /** From its first instruction until it said that it is ready. */
  readonly readyMs: number;
  end(): Promise<void>;
};
export type FilledHouse = { readonly data: string; start(): Promise<Living> };

/** A data folder with `documents` and whatever `rows` makes; `his`: the port of the HIS that it delivers to. */
export async function fillHouse(
  site: "hospital-a" | "hospital-b",
  his: number,
  documents: readonly Uint8Array[],
  rows: (past: Past) => Iterable<readonly Change[]>,
): Promise<FilledHouse> {
  const folder = fresh("house");
  await initPki(join(folder, "pki"), siteNames, { now: new Date() });
  const prefix = site === "hospital-a" ? "A" : "B";
  const env = {
    ...(await ports(portNames)),
    ...{ SITE: site, PKI: join(folder, "pki"), DATA: join(folder, "data"), B_HIS: String(his), B_PACS: "1" },
  } as Readonly<Record<string, string>>;
  const config = loadConfig(join(root, "channels.yaml"), env);
  const { data } = config.own;
  const key = loadKeys(config).storageKey;
  const now = (): Date => new Date();
  const store = await openStore({ folder: data, key, now });
  const names = new Map<Uint8Array, BlobName>();
  for (const document of documents) {
    const part = sealWhole(document);
    const { name, change } = await store.blobs.put(part.cipher, part.facts);
    await store.commit([change]);
    names.set(document, name);
  }
  await store.close();
  const nothing = { all: (): readonly Row[] => [], get: () => undefined } as unknown as Database;
  const tables = openTables(nothing, keysIn(data, key), now);
  let time = new Date(0);
  const next = idSource(() => time);
  const newId: Past["newId"] = (at) => {
    time = at;
    return next();
  };
  const keep: Past["keep"] = (document) => names.get(document) ?? "";
  writeAll(join(data, "semrs.db"), rows({ tables, newId, keep }));
  const url = `http://127.0.0.1:${env[`${prefix}_ADMIN`]}`;
  return { data, start: () => live(url, data, env) };
}

function writeAll(path: string, rows: Iterable<readonly Change[]>): void {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; PRAGMA cache_size = -1000000; BEGIN");
  const prepared = new Map<string, StatementSync>();
  let written = 0;
  for (const changes of rows) {
    for (const { sql, params } of changes.map(statementOf)) {
      const statement = prepared.get(sql) ?? db.prepare(sql);
      prepared.set(sql, statement);
      statement.run(...(params as Statement["params"]));
      written += 1;
      if (written % batch === 0) db.exec("COMMIT; BEGIN");
    }
  }
  db.exec("COMMIT; PRAGMA journal_mode = WAL");
  db.close();
}

/** Starts it and waits until it is ready. */
async function live(url: string, data: string, env: Readonly<Record<string, string>>): Promise<Living> {
  const started = performance.now();
  const child = spawn(process.execPath, [join(root, "semrs.js"), "run", "--config", join(root, "channels.yaml")], {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, ...env },
  });
  while (!(await isReady(url))) {
    if (child.exitCode !== null || performance.now() - started > readyMs) {
      await ended(child);
      throw new Error(`the house was not ready within ${readyMs} ms`);
    }
    await wait(lookMs);
  }
  return {
    pid: child.pid ?? 0,
    admin: openAdminClient(url, data),
    readyMs: performance.now() - started,
    end: () => ended(child),
  };
}

const isReady = (url: string): Promise<boolean> =>
  fetch(`${url}/health/ready`).then(
    ({ status }) => status === 200,
    () => false,
  );

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const end = once(child, "exit");
  child.kill("SIGTERM");
  await end;
}

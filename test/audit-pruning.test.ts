/** Pruning of the audit log: what went is under a checkpoint, an anchor proves the rest, and whoever meddles with either is told of. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pemToDer } from "../envelope/certificate.ts";
import { signCheckpoint } from "../envelope/index.ts";
import { pruneAudit } from "../pipeline/audit-pruning.ts";
import type { Site } from "../pipeline/site.ts";
import { anchorText } from "../store/audit-chain.ts";
import { checkAudit } from "../store/audit-check.ts";
import { openStore } from "../store/index.ts";
import type { Store } from "../store/store.ts";
import { semrs } from "./commands/cli.ts";
import { peerOf } from "./exchange/peer.ts";
import { openExchange, type TestExchange, testPki } from "./sites.ts";

let exchange: TestExchange;
let pki: string;
const data = (): string => join(exchange.folder, "data", "registry");
const kept = (name: string): string => join(exchange.folder, `kept-${name}`);

beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
  // A checkpoint at each start and each stop.
  for (const _ of Array(3)) {
    await exchange.stop("registry");
    await exchange.start("registry");
  }
  await exchange.stop("registry");
  cpSync(data(), kept("whole"), { recursive: true });
});
afterAll(() => exchange.close());

const has = (store: Store, seq: number): boolean => store.audit.after(seq - 1, 1)[0]?.seq === seq;
type Row = { readonly seq: number; readonly at: string };
const checkpoints = (folder = data()): readonly Row[] =>
  inDatabase(folder, (db) => db.prepare("SELECT seq, at FROM signed_head ORDER BY seq").all() as Row[]);
function inDatabase<T>(folder: string, work: (db: DatabaseSync) => T): T {
  const db = new DatabaseSync(join(folder, "semrs.db"));
  try {
    return work(db);
  } finally {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    db.close();
  }
}
function restored(from: string, work: (db: DatabaseSync) => void = () => undefined): void {
  rmSync(data(), { recursive: true });
  cpSync(kept(from), data(), { recursive: true });
  inDatabase(data(), work);
}

async function opened<T>(work: (store: Store) => Promise<T>): Promise<T> {
  const key = Buffer.from(readFileSync(join(pki, "registry", "storage.key"), "utf8").trim(), "hex");
  const store = await openStore({ folder: data(), key, now: () => new Date() });
  return await work(store).finally(() => store.close());
}
const der = (file: string): readonly Uint8Array[] => pemToDer(readFileSync(join(pki, file), "latin1"));
const identity = () => ({ signer: { certificate: der("registry/sign.crt")[0] }, trust: { anchors: der("ca.crt") } });
/** One pass, a year after the moment that is told. */
const prune = (store: Store, at: string, told: string[] = []): Promise<number> => {
  const now = new Date(at);
  now.setUTCFullYear(now.getUTCFullYear() + 1);
  const config = { site: "registry", own: { retention: { audit: { years: 1 } } } };
  return pruneAudit({
    store,
    config,
    identity: identity(),
    now: () => now,
    log: (event: string) => told.push(event),
  } as unknown as Site);
};
const verify = (...args: string[]) =>
  semrs(["audit", "verify", ...args, "--config", join(exchange.folder, "registry.yaml")], {
    env: { ...exchange.env, SITE: "registry" },
  });

/** Up to the last but one of the checkpoints; what it was, and the last entry. */
async function pruned(): Promise<{ readonly seq: number; readonly last: number }> {
  restored("whole");
  const [before, end] = checkpoints().slice(-2);
  const told: string[] = [];
  const last = await opened(async (store) => {
    await prune(store, end?.at ?? "", told);
    expect(checkAudit(data(), [])).toMatchObject({ pruned: before?.seq, broken: null });
    // A partner that was silent for years holds heads of what is gone: that is no loss.
    const other = "0".repeat(64);
    const seq = before?.seq ?? 0;
    expect([seq, seq + 1].map((each) => store.audit.stoodAt({ seq: each, head: other }))).toEqual([true, false]);
    expect(store.audit.stoodAt(store.audit.head())).toBe(true);
    return store.audit.head().seq;
  });
  expect(told).toEqual(["audit.pruned"]);
  rmSync(kept("pruned"), { recursive: true, force: true });
  cpSync(data(), kept("pruned"), { recursive: true });
  return { seq: before?.seq ?? 0, last };
}

test("without a number of years nothing goes", async () => {
  restored("whole");
  await opened(async (store) => {
    const config = { site: "registry", own: { retention: { audit: {} } } };
    const never = { store, config, now: () => new Date("2200-01-01"), log: () => undefined } as unknown as Site;
    expect(await pruneAudit(never)).toBe(0);
    expect(has(store, 1)).toBe(true);
  });
});

test("what is older goes, up to a checkpoint; the rest, its heads and the anchor hold, with what partners have and without", async () => {
  restored("whole");
  const whole = JSON.parse((await verify("--json")).out) as { checkpoints: number };
  const head = inDatabase(data(), (db) => db.prepare("SELECT seq, lower(hex(chain)) AS head FROM audit").all());
  const { seq, last } = await pruned();
  expect(seq).toBeGreaterThan(3);
  const { rows, says } = inDatabase(data(), (db) => ({
    rows: db.prepare("SELECT min(seq) AS first, count(*) AS n FROM audit WHERE seq > 0").get(),
    says: db.prepare("SELECT body ->> 'reason' AS says FROM audit WHERE seq > 0 AND body ->> 'event' = 'prune'").all(),
  }));
  expect(rows).toEqual({ first: seq + 1, n: last - seq });
  expect(says).toEqual([{ says: expect.stringMatching(new RegExp(`^entries 1 to ${seq}, 2\\S+ to 2\\S+, head `)) }]);
  const said = await verify();
  expect(said).toMatchObject({ exit: 0, err: "" });
  expect(said.out).toContain(`${last} entries (1 to ${seq} pruned), ${whole.checkpoints} checkpoints, 0 heads`);

  const held = join(exchange.folder, "heads.json");
  const at = (n: number) => head.find((row) => row.seq === n) as { seq: number; head: string };
  writeFileSync(held, JSON.stringify({ of: "registry", by: "hospital-a", heads: [at(2), at(seq), at(seq + 1)] }));
  expect((await verify("--witness", held)).out).toMatch(/ [12] heads of partners, whole/);
  writeFileSync(held, JSON.stringify({ of: "registry", by: "hospital-a", heads: [{ ...at(seq), head: at(2).head }] }));
  expect(await verify("--witness", held)).toMatchObject({
    exit: 1,
    err: expect.stringContaining("hospital-a holds another"),
  });
  // An entry that was pruned, of which a checkpoint is left.
  const earlier = checkpoints().find((row) => row.seq > 0 && row.seq < seq)?.seq ?? 0;
  const other = { seq: earlier, head: "0".repeat(64) };
  writeFileSync(held, JSON.stringify({ of: "registry", by: "hospital-a", heads: [other, at(seq)] }));
  expect(await verify("--witness", held)).toMatchObject({
    exit: 1,
    err: expect.stringContaining("before it was pruned"),
  });
});

test("it goes on from its anchor, a day later at the earliest, and whoever was stopped on the way goes on", async () => {
  await pruned();
  const ends = checkpoints().at(-1);
  await opened(async (store) => {
    const anchor = store.auditPruning.anchor();
    await prune(store, new Date(Date.parse(ends?.at ?? "") + 1_000).toISOString());
    expect(store.auditPruning.anchor()).toEqual(anchor);
  });
  inDatabase(data(), (db) => db.exec("UPDATE audit_anchor SET last_at = '2020-01-01T00:00:00.000Z'"));
  await opened(async (store) => {
    await prune(store, new Date(Date.parse(ends?.at ?? "") + 1_000).toISOString());
    expect(store.auditPruning.anchor()?.seq).toBe(ends?.seq);
    expect(checkAudit(data(), [])).toMatchObject({ pruned: ends?.seq, broken: null });
  });
  expect(await verify()).toMatchObject({ exit: 0 });

  restored("whole");
  await opened(async (store) => {
    const due = store.auditPruning.due("2200");
    if (!due) throw new Error("nothing is due");
    await store.commit([
      ...store.audit.add({ event: "prune", reason: anchorText(due) }),
      store.auditPruning.prune(due),
    ]);
    expect(checkAudit(data(), [])).toMatchObject({ pruned: due.seq, broken: null });
    expect(await prune(store, "2000-01-01T00:00:00Z")).toBeGreaterThan(0);
    expect(has(store, due.seq)).toBe(false);
    expect(checkAudit(data(), [])).toMatchObject({ pruned: due.seq, broken: null });
  });
});

test("what does not hold is not pruned, nor an access in an emergency that waits for its review", async () => {
  restored("whole", (db) => db.exec("UPDATE audit SET body = body || ' ' WHERE seq = 2"));
  const end = checkpoints().at(-1)?.at ?? "";
  await opened(async (store) => {
    await expect(prune(store, end)).rejects.toMatchObject({ code: "STORE_DAMAGED" });
    expect(has(store, 1)).toBe(true);
    expect(store.auditPruning.anchor()).toBeNull();
  });
  const signed = await forged(kept("whole"), checkpoints().at(-2)?.seq ?? 0);
  restored("whole", (db) => db.prepare("UPDATE signed_head SET signed = ? WHERE at < ?").run(signed, end));
  await opened(async (store) => {
    await expect(prune(store, end)).rejects.toMatchObject({ code: "STORE_DAMAGED" });
    expect(store.auditPruning.anchor()).toBeNull();
  });
  restored("whole", (db) => db.exec("INSERT INTO emergency (id, seq, org, at) VALUES ('e', 2, 'hospital-a', '2026')"));
  await opened(async (store) => {
    await prune(store, end);
    expect(has(store, 2)).toBe(true);
  });
});

/** A checkpoint of an entry by another house. */
const forged = async (folder: string, seq: number): Promise<Uint8Array> => {
  const peer = peerOf(pki, exchange.env.B_PORT);
  const { head } = inDatabase(folder, (db) =>
    db.prepare("SELECT lower(hex(chain)) AS head FROM audit WHERE seq = ?").get(seq),
  ) as { head: string };
  const at = `${new Date().toISOString().slice(0, 19)}Z`;
  return await signCheckpoint({ org: "registry", seq, head, at }, peer.signer("hospital-a"), new Date());
};

test.each<[string, string, RegExp]>([
  ["the anchor gone", "DELETE FROM audit_anchor", /entry 1 is missing/],
  ["another chain", "UPDATE audit_anchor SET chain = zeroblob(32)", /rewritten|does not follow/],
  ["an earlier entry", "UPDATE audit_anchor SET seq = seq - 1", /rewritten|is missing|does not hold/],
  ["a later entry, and the one behind it gone", "UPDATE audit_anchor SET seq = seq + 1", /does not|rewritten/],
  ["another time", "UPDATE audit_anchor SET first_at = '2026-01-01'", /no entry says the same/],
  ["no checkpoint", "UPDATE audit_anchor SET signed = x'00'", /has a checkpoint that does not hold/],
  ["the entry that says so gone, at the end", "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)", /no entry/],
  ["all behind it gone", "DELETE FROM audit WHERE seq > 0", /no entry says the same|was cut off/],
  ["more of the rest gone", "DELETE FROM audit WHERE seq = (SELECT min(seq) FROM audit WHERE seq > 0)", /is missing/],
])("tampering is told: %s", async (_what, sql, says) => {
  await pruned();
  restored("pruned", (db) => db.exec(sql));
  const { exit, err } = await verify();
  expect({ exit, err }).toEqual({ exit: 1, err: expect.stringMatching(says) });
});

test("an anchor under somebody else's signature is none", async () => {
  const { seq } = await pruned();
  const signed = await forged(kept("whole"), seq);
  restored("pruned", (db) => db.prepare("UPDATE audit_anchor SET signed = ?").run(signed));
  expect(await verify()).toMatchObject({ exit: 1, err: expect.stringContaining("not signed by this site") });
});

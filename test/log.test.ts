/** The registry's log, rewritten by somebody who can write its data folder: convicted by its checkpoints, and by what houses hold. */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { signCheckpoint } from "../envelope/index.ts";
import { writeCommand } from "../formats/command.ts";
import { chained } from "../store/audit-chain.ts";
import { semrs } from "./commands/cli.ts";
import { type Asking, openAsking } from "./exchange/asking.ts";
import { documentOf, manifestOf, registration } from "./exchange/indexed.ts";
import { peerOf } from "./exchange/peer.ts";
import type { TestExchange } from "./sites.ts";

let exchange: TestExchange;
let asking: Asking;
let receipts: string;
const data = (): string => join(exchange.folder, "data", "registry");
const kept = (): string => join(exchange.folder, "kept");

beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
  receipts = join(exchange.folder, "receipts");
  mkdirSync(receipts);
  for (const n of Array(6).keys()) {
    const set = n.toString(16).padStart(32, "0");
    const said = await asking.ask("hospital-a", "register", registration([documentOf(`log${n}`)], set));
    writeFileSync(join(receipts, `receipt-${n}.p7m`), said.bytes);
  }
  const foreign = [documentOf("theirs", { repositoryUniqueId: "hospital-b" })];
  expect((await asking.ask("hospital-a", "register", registration(foreign))).status).toBe(403);
  await exchange.stop("registry");
  cpSync(data(), kept(), { recursive: true });
});
afterAll(() => exchange.close());

const log = (...args: string[]) =>
  semrs(["log", ...args, "--config", join(exchange.folder, "registry.yaml")], {
    env: { ...exchange.env, SITE: "registry" },
  });
const verify = (...args: string[]) => log("verify", ...args);
/** The data folder as it was, after somebody has been at its database. */
function meddled(work: (db: DatabaseSync) => void): void {
  cpSync(kept(), data(), { recursive: true });
  const db = new DatabaseSync(join(data(), "semrs.db"));
  work(db);
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  db.close();
}
/** Another author of an entry, and every chain from there on made anew. */
function rewrite(db: DatabaseSync, seq: number): void {
  const { chain: before } = db.prepare("SELECT chain FROM audit WHERE seq = ?").get(seq - 1) as { chain: Uint8Array };
  let chain = before;
  for (const { seq: n, body } of db.prepare("SELECT seq, body FROM audit WHERE seq >= ? ORDER BY seq").all(seq)) {
    const text = Number(n) === seq ? String(body).replace("hospital-a", "hospital-b") : String(body);
    chain = chained(chain, text);
    db.prepare("UPDATE audit SET body = ?, chain = ? WHERE seq = ?").run(text, chain, Number(n));
  }
}
const registrationEntry = (db: DatabaseSync): number =>
  Number(
    db.prepare(`SELECT seq FROM audit WHERE body LIKE '%"event":"registration"%' ORDER BY seq LIMIT 1 OFFSET 2`).get()
      ?.seq,
  );

test("whole: registrations, changes, questions and refusals are counted, and every receipt holds", async () => {
  const whole = await verify("--witness", receipts);
  expect(whole).toMatchObject({ exit: 0, err: "" });
  expect(whole.out).toMatch(
    /^6 registrations, 0 changes, \d+ questions, 1 refusals\n\d+ entries, [2-9] checkpoints, 6 heads/,
  );
  const said = JSON.parse((await verify("--json")).out) as { registrations: number; broken: unknown };
  expect(said).toMatchObject({ registrations: 6, refusals: 1, broken: null });
});

test("one row rewritten, with the chain made anew: its own checkpoint convicts it; without that, a house's receipt does", async () => {
  let seq = 0;
  meddled((db) => {
    seq = registrationEntry(db);
    rewrite(db, seq);
  });
  const byCheckpoint = await verify();
  expect(byCheckpoint.exit).toBe(1);
  expect(byCheckpoint.err).toMatch(
    /entry \d+ \(.*\) or an entry before it was rewritten: its checkpoint of 2\S+ holds/,
  );

  meddled((db) => {
    rewrite(db, registrationEntry(db));
    db.exec("DELETE FROM signed_head");
  });
  expect(await verify()).toMatchObject({ exit: 0 });
  const byReceipt = await verify("--witness", receipts);
  expect(byReceipt.exit).toBe(1);
  const [, convicted = ""] =
    /entry (\d+) \(registration of hospital-\w, \S+\) or an entry before it was rewritten/.exec(byReceipt.err) ?? [];
  // The next receipt was signed over a log that ended with the entry before it: that one.
  expect(Number(convicted)).toBe(seq);
  expect(byReceipt.err).toMatch(/a receipt that hospital-a has of 2\S+ holds another head/);
});

test("checkpoints kept elsewhere are never written over: another one of the same entry is told", async () => {
  meddled(() => undefined);
  const elsewhere = join(exchange.folder, "never-over");
  const keep = () => log("checkpoints", "--out", elsewhere);
  expect(await keep()).toMatchObject({ exit: 0 });
  expect(await keep()).toMatchObject({ exit: 0 });
  const [name = ""] = readdirSync(elsewhere);
  const file = join(elsewhere, name);
  writeFileSync(file, "of before");
  const { exit, err } = await keep();
  expect(exit).toBe(65);
  expect(err).toMatch(/is another checkpoint than the log holds now; leave it, and run semrs log verify/);
  expect(readFileSync(file, "utf8")).toBe("of before");
});

test("the tail cut off, and its checkpoints with it: receipts convict it, or checkpoints that were kept elsewhere", async () => {
  const elsewhere = join(exchange.folder, "elsewhere");
  meddled(() => undefined);
  expect(await log("checkpoints", "--out", elsewhere)).toMatchObject({ exit: 0 });
  expect(readdirSync(elsewhere).length).toBeGreaterThan(1);
  let seq = 0;
  meddled((db) => {
    seq = registrationEntry(db);
    db.prepare("DELETE FROM audit WHERE seq > ?").run(seq);
    db.prepare("DELETE FROM signed_head WHERE seq > ?").run(seq);
  });
  expect(await verify()).toMatchObject({ exit: 0 });
  for (const [witness, who] of [
    [receipts, "a receipt that hospital-a has"],
    [elsewhere, "a checkpoint"],
  ] as const) {
    const { exit, err } = await verify("--witness", witness);
    expect(exit).toBe(1);
    expect(err).toContain(`entry ${seq + 1} was cut off: ${who}`);
  }
});

test("a message taken out of the index, with the log as it was: the receipt for it convicts", async () => {
  meddled((db) => db.exec("DELETE FROM message WHERE message = (SELECT min(message) FROM message)"));
  expect(await verify()).toMatchObject({ exit: 0 });
  const { exit, err } = await verify("--witness", receipts);
  expect(exit).toBe(1);
  expect(err).toMatch(/message 0{31}1 is gone: hospital-a holds a receipt for it/);
});

test("an entry taken out of the index, or put under another house or manifest, with log and messages as they were: the receipt convicts", async () => {
  const manifest = manifestOf(documentOf("log2").uniqueId);
  for (const sql of [
    "DELETE FROM entry WHERE manifest_sha256 = ?",
    "UPDATE entry SET org = 'hospital-b' WHERE manifest_sha256 = ?",
    "UPDATE entry SET manifest_sha256 = substr(manifest_sha256, 2) || '1' WHERE manifest_sha256 = ?",
  ]) {
    meddled((db) => expect(db.prepare(sql).run(manifest).changes).toBe(1));
    expect(await verify()).toMatchObject({ exit: 0 });
    const { exit, err } = await verify("--witness", receipts);
    expect(exit).toBe(1);
    expect(err).toContain(`the entry of ${manifest} is gone: hospital-a holds a receipt for it`);
  }
});

test("what its house has sealed anew, changed or removed since convicts nobody", async () => {
  meddled(() => undefined);
  const since = join(exchange.folder, "since");
  cpSync(receipts, since, { recursive: true });
  await exchange.start("registry");
  const one = documentOf("log1");
  const { uniqueId } = one;
  const ask = async (purpose: "register" | "change", command: Parameters<typeof writeCommand>[0]) => {
    const said = await asking.ask("hospital-a", purpose, writeCommand(command));
    expect([200, 201]).toContain(said.status);
    writeFileSync(join(since, `${readdirSync(since).length}.p7m`), said.bytes);
  };
  const anew = { entry: one, manifestSha256: "d".repeat(64) };
  await ask("register", { command: "register", submissionSet: "e".repeat(32), entries: [anew] });
  await ask("change", { command: "change", action: "deprecate", uniqueId, manifestSha256: anew.manifestSha256 });
  const gone = documentOf("log3").uniqueId;
  await ask("change", { command: "change", action: "remove", uniqueId: gone, manifestSha256: manifestOf(gone) });
  await exchange.stop("registry");
  expect(await verify("--witness", since)).toMatchObject({ exit: 0, err: "" });
  // The log says which manifest was in the place of which.
  const { out } = await semrs(["audit", "export", "--config", join(exchange.folder, "registry.yaml")], {
    env: { ...exchange.env, SITE: "registry" },
  });
  expect(out).toContain(`"subject":"${manifestOf(uniqueId)}"`);
});

test("a checkpoint by another key, and receipts of somebody else, are no witnesses", async () => {
  const peer = peerOf(exchange.env.PKI ?? "", exchange.env.B_PORT);
  const at = new Date();
  const checkpoint = { org: "registry", seq: 1, head: "0".repeat(64), at: `${at.toISOString().slice(0, 19)}Z` };
  const signed = await signCheckpoint(checkpoint, peer.signer("hospital-a"), at);
  meddled((db) => {
    db.exec("DELETE FROM signed_head");
    db.prepare("INSERT INTO signed_head VALUES (1, ?, ?)").run(at.toISOString(), signed);
  });
  expect(await verify()).toMatchObject({ exit: 1, err: expect.stringMatching(/entry 1 .*not signed by this site/) });
  meddled(() => undefined);
  const folder = join(exchange.folder, "forged");
  mkdirSync(folder);
  writeFileSync(join(folder, "forged.p7m"), signed);
  expect(await verify("--witness", folder)).toMatchObject({ exit: 78, err: expect.stringContaining("holds no head") });
});

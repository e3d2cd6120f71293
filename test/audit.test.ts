/** What three sites' audit logs tell of a record that travelled, of what was refused, and of what a person did. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { chained } from "../store/audit-chain.ts";
import type { Audited } from "../store/store.ts";
import { semrs } from "./commands/cli.ts";
import { bytesOf } from "./envelope/people.ts";
import { peerOf } from "./exchange/peer.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { chen, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type SiteName, type TestExchange, testPki, until } from "./sites.ts";
import { listenSyslog } from "./syslog-listener.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
});
afterAll(() => exchange.close());

async function audited(site: SiteName): Promise<readonly Audited[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await exchange.admin(site).download("/audit", { reason: "a test" })) chunks.push(chunk);
  return Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Audited);
}
const told = (entries: readonly Audited[]) => new Set(entries.map(({ event, outcome }) => `${event} ${outcome}`));

test("every house tells its part: who sent what to whom, and about whom", async () => {
  const study = ctStudy({ instancesPerSeries: 1 });
  await exchange.instances(study.map(({ bytes }) => bytes));
  await exchange.message(sampleMessage("mdm-t02-116"));
  await exchange.registered(1);
  await exchange.message(sampleMessage("adt-a01"), "B_ADT");
  await until("proof at A", async () => told(await audited("hospital-a")).has("proof done"));
  const atB = ["message", "query", "retrieve", "open", "delivery", "receipt"].map((event) => `${event} done`);
  await until("all of B", async () => {
    const seen = told(await audited("hospital-b"));
    return atB.every((each) => seen.has(each));
  });
  const [a, registry, b] = [await audited("hospital-a"), await audited("registry"), await audited("hospital-b")];
  for (const each of ["start", "message", "instance", "seal", "register", "disclosure", "proof", "audit"])
    expect(told(a)).toContain(`${each} done`);
  expect(told(registry)).toEqual(new Set(["start done", "registration done", "answer done", "audit done"]));
  const [disclosure, opened] = [a, b].map((entries, n) =>
    entries.find(({ event }) => event === (["disclosure", "open"] as const)[n]),
  );
  const sealed = a.find(({ event }) => event === "seal");
  expect(disclosure).toMatchObject({ peer: "hospital-b", subject: sealed?.subject, count: 1 + study.length });
  expect(opened).toMatchObject({ peer: "hospital-a", subject: sealed?.subject, manifest: sealed?.manifest });
  for (const entry of [sealed, opened, a.find(({ event }) => event === "message")])
    expect(entry?.patients[0]?.ids).toContain(chen.national);
  expect(registry.find(({ event }) => event === "answer")?.patients[0]?.ids?.join()).toContain(chen.national);
});

test("a refusal has its cause, and what a person did its reason", async () => {
  await exchange.message(mdmFor(Buffer.from("<ClinicalDocument"), { controlId: "BROKEN1" }));
  const refused = (await audited("hospital-a")).find(
    ({ event, outcome }) => `${event} ${outcome}` === "message refused",
  );
  expect(refused).toMatchObject({ event: "message", code: "CDA_INVALID", peer: "his" });
  const { arrivals } = await exchange.admin("hospital-a").get<{ arrivals: { id: string }[] }>("/trace/BROKEN1");
  expect(refused?.subject).toBe(arrivals[0]?.id);
  const reason = "asked by the HIS vendor";
  for await (const _ of await exchange.admin("hospital-a").download("/journal/BROKEN1/reveal", { reason })) break;
  expect((await audited("hospital-a")).find(({ event }) => event === "read")).toMatchObject({
    subject: refused?.subject,
    reason,
    peer: "admin",
  });
});

test("an envelope that is not opened leaves the cause here, which its sender is not told", async () => {
  const peer = peerOf(pki, exchange.env.B_PORT);
  const foreign = await peer.push({ to: [{ org: "registry", certificate: peer.certificateOf("registry") }] });
  const { problem } = await peer.post(foreign.headers, await bytesOf(foreign.body()));
  const refused = (await audited("hospital-b")).find(
    ({ event, outcome }) => `${event} ${outcome}` === "submission refused",
  );
  expect(refused).toMatchObject({ peer: "hospital-a", code: "ENVELOPE_NOT_OPENED" });
  expect(refused?.reason).toBe("part 4: no RecipientInfo is for a key of ours");
  expect(problem).not.toContain(refused?.reason);
});

const audit = (site: SiteName, ...args: string[]) =>
  semrs(["audit", ...args, "--config", join(exchange.folder, `${site}.yaml`)], {
    env: { ...exchange.env, SITE: site },
  });

test("list and export tell the same entries, and go to a syslog server as ATNA's messages", async () => {
  const listed = await audit("hospital-a", "list", "--limit", "500", "--reason", "monthly review");
  expect(listed.out).toMatch(new RegExp(`seal +done .*${chen.national}`));
  const exported = await audit("hospital-a", "export");
  const entries = exported.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Audited);
  expect(exported).toMatchObject({ exit: 0, err: `${entries.length} entries\n` });
  expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, n) => n + 1));
  expect(entries.at(-2)).toMatchObject({ event: "audit", reason: "monthly review" });

  const listener = await listenSyslog(pki, "registry");
  const to = `127.0.0.1:${listener.port}`;
  const sent = await audit("hospital-a", "export", "--format", "rfc5424", "--to", to, "--after", "2");
  expect(sent.exit).toBe(0);
  await until("every entry", () => listener.messages.length >= entries.length - 1);
  await listener.stop();
  expect(listener.messages[0]).toMatch(/^<85>1 \S+Z hospital-a semrs \d+ DICOM\+RFC3881 - \ufeff<AuditMessage>/);
  const seal = listener.messages.find((message) => message.includes('csd-code="seal"'));
  expect(seal).toContain(`ParticipantObjectID="${chen.national}"`);
  expect(await audit("hospital-a", "export", "--format", "rfc5424", "--to", to)).toMatchObject({ exit: 69 });
});

test("an export is there when it is whole, for its owner alone; one before stays until then", async () => {
  const out = join(exchange.folder, "audit.ndjson");
  writeFileSync(out, "what was pruned since\n", { mode: 0o644 });
  expect(await audit("hospital-a", "export", "--out", out, "--after", "none")).toMatchObject({ exit: 64 });
  expect(readFileSync(out, "utf8")).toBe("what was pruned since\n");
  expect(await audit("hospital-a", "export", "--out", out)).toMatchObject({ exit: 0 });
  expect(readFileSync(out, "utf8")).toMatch('"event":"start"');
  expect((statSync(out).mode & 0o777).toString(8)).toBe("600");
});

test("partners hold the heads that a site's envelopes carry, and convict it when it rewrites its log or cuts it off", async () => {
  const held = join(exchange.folder, "registry-holds.json");
  const told = await audit("registry", "heads", "--partner", "hospital-a");
  expect(told).toMatchObject({ exit: 0, err: "" });
  writeFileSync(held, told.out);
  const { heads } = JSON.parse(told.out) as { heads: readonly { seq: number; head: string }[] };
  const { seq, head } = heads.at(-1) ?? { seq: 0, head: "" };
  expect((await audited("hospital-a")).find((entry) => entry.seq === seq)?.chain).toBe(head);

  const whole = await audit("hospital-a", "verify", "--witness", held);
  expect(whole).toMatchObject({ exit: 0, out: expect.stringContaining(`${heads.length} heads of partners, whole`) });
  await exchange.stop("hospital-a");
  const db = new DatabaseSync(join(exchange.folder, "data", "hospital-a", "semrs.db"));
  const { chain: before } = db.prepare("SELECT chain FROM audit WHERE seq = ?").get(seq - 1) as { chain: Uint8Array };
  let chain = before;
  for (const { seq: n, body } of db.prepare("SELECT seq, body FROM audit WHERE seq >= ? ORDER BY seq").all(seq)) {
    const rewritten = String(body).replace(/"at":"[^"]+"/, '"at":"2020-01-01T00:00:00.000Z"');
    chain = chained(chain, rewritten);
    db.prepare("UPDATE audit SET body = ?, chain = ? WHERE seq = ?").run(rewritten, chain, Number(n));
  }
  // Who can write the log can take its checkpoints away, too.
  db.exec("DELETE FROM signed_head");
  expect(await audit("hospital-a", "verify")).toMatchObject({ exit: 0 });
  expect(await audit("hospital-a", "verify", "--witness", held)).toMatchObject({
    exit: 1,
    err: expect.stringContaining(`entry ${seq} or an entry before it was rewritten: registry`),
  });
  db.prepare("UPDATE audit SET body = '{}' WHERE seq = 3").run();
  const broken = await audit("hospital-a", "verify", "--json");
  expect(broken.exit).toBe(1);
  expect(JSON.parse(broken.out)).toMatchObject({ broken: { seq: 3 } });
  db.close();
});

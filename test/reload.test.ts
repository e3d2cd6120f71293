/** Hot reload (reliability.md F19): what may change does, between two messages; a bad file changes nothing and says where. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Reloaded } from "../pipeline/reload.ts";
import { root, semrs } from "./commands/cli.ts";
import { makeHome, reconfigure, startHouse } from "./faults/house.ts";
import { cda, chen, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
let file: string;
let first: string;
beforeAll(async () => {
  at = await openExchange(await testPki(), { STUDY_WAIT: "1h" });
  file = join(at.folder, "hospital-a.yaml");
  first = readFileSync(file, "utf8");
});
afterAll(() => at.close());
beforeEach(async () => {
  writeFileSync(file, first);
  await reload();
});

const reload = (): Promise<Reloaded> => at.admin("hospital-a").post<Reloaded>("/reload", {});
function edit(from: string | RegExp, to: string): void {
  const before = readFileSync(file, "utf8");
  expect(before).toMatch(from);
  writeFileSync(file, before.replace(from, to));
}
const with113 = "documents: [113, 114, 115, 121, other]";
const without113 = "documents: [114, 115, 121, other]";
const report = (extension: string) =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "檢驗報告", body: "x" });
const arrival = async (id: string) =>
  (await at.admin("hospital-a").get<{ arrivals: { state: string; code: string | null }[] }>(`/trace/${id}`))
    .arrivals[0];
const items = async () => (await at.admin("hospital-a").get<{ items: Record<string, number> }>("/counts")).items;

test("the same file changes nothing", async () => {
  expect(await reload()).toEqual({ changed: [], warnings: [] });
});

test("a filter changes from one message to the next, and back", async () => {
  await at.message(mdmFor(report("L.1"), { controlId: "L1" }));
  edit(with113, without113);
  expect((await reload()).changed).toEqual(["channels.documents"]);
  await at.message(mdmFor(report("L.2"), { controlId: "L2" }));
  writeFileSync(file, first);
  await reload();
  await at.message(mdmFor(report("L.3"), { controlId: "L3" }));
  expect(await arrival("L1")).toMatchObject({ state: "done" });
  expect(await arrival("L2")).toMatchObject({ state: "filtered", code: "NO_CHANNEL" });
  expect(await arrival("L3")).toMatchObject({ state: "done" });
});

test("a document that waits is judged by the new rules", async () => {
  await at.message(sampleMessage("mdm-t02-116"));
  // What came before it has gone.
  await until("it alone waits", async () => {
    const { waiting, sealed } = await items();
    return waiting === 1 && sealed === 2;
  });
  edit(/wait: "[^"]*", then: proceed/, "wait: 1ms, then: proceed");
  expect((await reload()).changed).toEqual(["channels.imaging"]);
  await until("sealed", async () => (await items()).waiting === undefined);
});

test("what waits under a channel that is in run no more is told of, and goes on once it is put back", async () => {
  edit(/wait: "[^"]*", then: proceed/, 'wait: "1h", then: proceed');
  await reload();
  const study = { uid: "2.25.4711", accession: "", series: [], modality: "CT" };
  const waits = cda({
    form: "116",
    extension: "G.1",
    patient: chen,
    code: "x",
    display: "x",
    title: "x",
    body: "x",
    study,
  });
  expect(await at.message(mdmFor(waits, { controlId: "G1" }))).toMatchObject({ state: "delivered" });
  const before = readFileSync(file, "utf8");
  edit("run: [imaging, documents]", "run: [pictures, documents]");
  edit("\n  imaging: ", "\n  pictures: ");
  expect((await reload()).changed).toContain("channels.imaging");

  const listed = await at.admin("hospital-a").get<{ items: { channel: string; reason: string | null }[] }>("/journal");
  expect(listed.items).toMatchObject([
    { channel: "imaging", state: "waiting", reason: expect.stringMatching(/^channel imaging is no longer in run/) },
  ]);
  const [port, data] = [at.env.A_ADMIN, join(at.folder, "data", "hospital-a")];
  const { out } = await semrs(["journal", "trace", "G1", "--admin", `http://127.0.0.1:${port}`, "--data", data]);
  expect(out).toMatch(/^now: waiting since \S+, channel imaging is no longer in run; put it back or discard this$/m);
  await at.admin("hospital-a").get("/status");
  const ready = await fetch(`http://127.0.0.1:${at.env.A_ADMIN}/health/ready`, { headers: { accept: "text/plain" } });
  expect(await ready.text()).toMatch(/^warn channels: not done: 1 of imaging, no longer in run; semrs journal list/m);

  writeFileSync(file, before.replace('wait: "1h", then: proceed', "wait: 1ms, then: proceed"));
  await reload();
  await until("sealed", async () => (await items()).waiting === undefined);
  await at.admin("hospital-a").get("/status");
  const again = await fetch(`http://127.0.0.1:${at.env.A_ADMIN}/health/ready`, { headers: { accept: "text/plain" } });
  expect(await again.text()).toMatch(/^pass channels: /m);
});

test.each([
  [
    "a key that is none",
    "filter: { messages: [MDM",
    "filter: { mesages: [MDM",
    /hospital-a\.yaml:\d+:\d+ error CONFIG_UNKNOWN_KEY .*did you mean "messages"/,
  ],
  ["no YAML", "timeZone:", "timeZone: [", /hospital-a\.yaml:\d+:\d+ error CONFIG_SYNTAX/],
  [
    "a listener",
    "answer:",
    "maxConnections: 3, answer:",
    /hospital-a\.yaml:\d+ sites\.hospital-a\.systems\.his\.mllp\.maxConnections cannot be changed while the site runs; restart it/,
  ],
  [
    "a partner",
    "  registry:   {",
    '  hospital-c: { url: "https://127.0.0.1:1", certificates: x }\n  registry:   {',
    /hospital-a\.yaml:\d+ partners cannot be changed/,
  ],
])("%s changes nothing, not even what could be changed, and the place is told", async (what, from, to, told) => {
  edit(with113, without113);
  edit(from, to);
  const lines = at.log.length;
  await expect(reload()).rejects.toThrow(told);
  expect(at.log.slice(lines).filter(({ event }) => event.startsWith("config."))).toMatchObject([
    { event: "config.refused", level: "error", fields: { reason: expect.stringMatching(told) } },
  ]);
  const id = `N${what.length}`;
  await at.message(mdmFor(report(id), { controlId: id }));
  expect(await arrival(id)).toMatchObject({ state: "done" });
});

test("a table of a lookup is read anew, and told", async () => {
  const table = join(at.folder, "wards.yaml");
  writeFileSync(table, "W1: WEST\n");
  edit("    source: [his]\n", "    source: [his]\n    transform: [{ lookup: PV1-3.1, in: wards.yaml }]\n");
  expect((await reload()).changed).toEqual(["channels.documents"]);
  expect((await reload()).changed).toEqual([]);
  writeFileSync(table, "W1: EAST\n");
  expect((await reload()).changed).toEqual(["channels.documents"]);
});

test("who is told of alerts, and who may ask the registry for what, is not said to be as before: that takes a restart", async () => {
  edit("    admin:", '    alerts: { webhooks: [{ url: "https://127.0.0.1:1/" }] }\n    admin:');
  await expect(reload()).rejects.toThrow(/hospital-a\.yaml:\d+ sites\.hospital-a\.alerts cannot be changed/);
  const registry = join(at.folder, "registry.yaml");
  const before = readFileSync(registry, "utf8");
  const closed = before.replace(/registry: \{ listen: "[^"]*"/, "$&, access: [{ purposes: [ETREAT] }]");
  expect(closed).not.toBe(before);
  writeFileSync(registry, closed);
  await expect(at.admin("registry").post("/reload", {})).rejects.toThrow(
    /registry\.yaml:\d+ sites\.registry\.registry\.access cannot be changed/,
  );
  writeFileSync(registry, before);
});

test("an inbound channel comes and goes; only how stale a revocation list may be takes a restart", async () => {
  const other = join(at.folder, "hospital-b.yaml");
  const before = readFileSync(other, "utf8");
  const put = async (yaml: string): Promise<Reloaded> => {
    writeFileSync(other, yaml);
    return await at.admin("hospital-b").post<Reloaded>("/reload", {});
  };
  const beside = before
    .replace("run: [incoming]", "run: [incoming, more]")
    .replace(/\n {2}incoming:[\s\S]*/, (incoming) => `${incoming}${incoming.replace("incoming", "more")}`);
  const stricter = beside.replace(/crlStale: 24h([\s\S]*)crlStale: 24h/, "crlStale: 24h$1crlStale: 2h");
  expect(await put(beside)).toMatchObject({ changed: ["sites.hospital-b.run", "channels.more"] });
  await expect(put(stricter)).rejects.toThrow(/:\d+ channels\.more\.open\.crlStale cannot be changed/);
  expect(await put(before)).toMatchObject({ changed: ["sites.hospital-b.run", "channels.more"] });
  const outbound = before.replace("run: [incoming]", "run: []");
  expect(await put(outbound)).toMatchObject({ changed: ["sites.hospital-b.run", "channels.incoming"] });
  await put(before);
});

test("semrs reload tells what changed; a bad file is exit 78", async () => {
  const where = ["--admin", `http://127.0.0.1:${at.env.A_ADMIN}`, "--data", join(at.folder, "data", "hospital-a")];
  edit("max: 5m", "max: 4m");
  expect(await semrs(["reload", ...where])).toMatchObject({ exit: 0, out: "changed: delivery\n" });
  edit("max: 4m", "max: soon");
  expect(await semrs(["reload", ...where])).toMatchObject({
    exit: 78,
    err: expect.stringMatching(/:\d+:\d+ error CONFIG_VALUE delivery\.retry\.max/),
  });
});

test("SIGHUP does the same, through an old Node as well, and a bad file leaves the process as it was", async () => {
  const home = await makeHome();
  const house = await startHouse({ ...home, flags: ["--import", join(import.meta.dirname, "old-node.ts")] });
  try {
    reconfigure(home, (yaml) => yaml.replace("Asia/Taipei", "Asia/Tokyo"));
    house.process.kill("SIGHUP");
    await until("reloaded", () => house.log().includes('"event":"config.reloaded","count":1,"reason":"timeZone"'));
    reconfigure(home, (yaml) => yaml.replace("Asia/Tokyo", "Asia/Nowhere"));
    house.process.kill("SIGHUP");
    const refusals = () => house.log().split('"event":"config.refused"').length - 1;
    await until("refused", () => refusals() === 1);
    // As an editor leaves it for a moment, or a full disk for longer.
    reconfigure(home, () => "");
    house.process.kill("SIGHUP");
    await until("refused again", () => refusals() === 2);
    writeFileSync(join(home.folder, "channels.yaml"), "site: hospital-a\ntimeZone: *nowhere\n");
    house.process.kill("SIGHUP");
    await until("refused once more", () => refusals() === 3);
    expect(await house.admin.get("/status")).toMatchObject({ holds: true });
    // Ctrl-C at a terminal reaches both processes, and is one wish to end, not two.
    const [pid] = readFileSync(join(home.data, "semrs.lock"), "utf8").split(" ");
    process.kill(Number(pid), "SIGINT");
    expect(await house.end("SIGINT")).toBe(0);
  } finally {
    await house.end("SIGTERM");
  }
});

test("SIGHUP while a house is starting is heeded once it has started", async () => {
  const home = await makeHome();
  const list = readFileSync(join(home.folder, "pki", "ca.crl"));
  let pid = 0;
  const authority = createServer((_request, response) => {
    reconfigure(home, (yaml) => yaml.replace("Asia/Taipei", "Asia/Tokyo"));
    process.kill(pid, "SIGHUP");
    response.end(list);
  });
  await new Promise<void>((listening) => authority.listen(0, "127.0.0.1", listening));
  const { port } = authority.address() as AddressInfo;
  reconfigure(home, (yaml) => yaml.replace(/crls: \[.*?\]/, `crls: ["http://127.0.0.1:${port}/ca.crl"]`));
  const child = spawn(process.execPath, [join(root, "semrs.js"), "run"], {
    cwd: home.folder,
    env: { ...process.env, ...home.env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  pid = child.pid ?? 0;
  const ended = once(child, "close");
  let log = "";
  child.stdout.on("data", (chunk: Buffer) => (log += chunk));
  try {
    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
    await until("reloaded, or ended", () => log.includes('"event":"config.reloaded"') || isOver(), 30_000);
    expect(child.signalCode).toBe(null);
    expect(log).toMatch(/"event":"engine\.started".*"event":"config\.reloaded","count":1,"reason":"timeZone"/s);
  } finally {
    child.kill("SIGTERM");
    await ended;
    authority.close();
  }
});

/** What a repository is sent that it must not take: refused, nothing delivered, one answer for everything cryptographic. */
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { contentOf } from "../../envelope/index.ts";
import { Fault } from "../../errors.ts";
import { clearProblem } from "../../exchange/problem.ts";
import { readCda } from "../../formats/cda.ts";
import { commandMediaType, writeCommand } from "../../formats/command.ts";
import { documentEntry } from "../../formats/document-entry.ts";
import { bytesOf } from "../envelope/people.ts";
import { cda, chen, lin } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki } from "../sites.ts";
import { type Asking, askingOf } from "./asking.ts";
import { type Peer, peerOf, read } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
let asking: Asking;

beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
  peer = peerOf(pki, exchange.env.B_PORT);
  asking = askingOf(pki, peer, () => exchange.env.REGISTRY_PORT);
});
afterAll(() => exchange.close());

const records = async (): Promise<number> =>
  Object.values(
    (await exchange.admin("hospital-b").get<{ records: Record<string, number> }>("/counts")).records,
  ).reduce((sum, count) => sum + count, 0);

test("a bit flipped in any part is refused with one answer, and nothing is kept", async () => {
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  const boundary = /boundary="([^"]+)"/.exec(sealed.headers.at(-1)?.[1] ?? "")?.[1] ?? "";
  const problems = new Set<string>();
  let parts = 0;
  for (let at = body.indexOf(`--${boundary}\r\n`); at >= 0; at = body.indexOf(`--${boundary}\r\n`, at + 1)) {
    const flipped = Buffer.from(body);
    const place = body.indexOf("\r\n\r\n", at) + 4 + 170;
    flipped[place] = (flipped[place] ?? 0) ^ 1;
    const { status, problem } = await peer.post(sealed.headers, flipped);
    expect(status).toBe(422);
    problems.add(problem.replace(/urn:uuid:[0-9a-f-]+/, ""));
    parts += 1;
  }
  expect(parts).toBe(5);
  expect([...problems]).toEqual([
    '{"type":"urn:semrs:problem:unopenable","title":"The envelope could not be opened.","status":422,"instance":""}',
  ]);
  expect(await records()).toBe(0);
});

test("an envelope for another receiver, of an untrusted signer, or with a purpose that has no place here is refused", async () => {
  const registry = peer.certificateOf("registry");
  const forRegistry = await peer.push({ to: [{ org: "registry", certificate: registry }] });
  expect((await peer.post(forRegistry.headers, await bytesOf(forRegistry.body()))).status).toBe(422);

  const foreign = `${pki}-foreign-${Date.now()}`;
  await initPki(foreign, ["hospital-a"], { now: new Date() });
  const untrusted = await peer.push({}, join(foreign, "hospital-a"));
  expect((await peer.post(untrusted.headers, await bytesOf(untrusted.body()))).status).toBe(422);

  const provided = await peer.push({ purpose: "provide" });
  expect(await peer.post(provided.headers, await bytesOf(provided.body()))).toMatchObject({
    status: 403,
    profile: "semrs-2",
  });
  expect(await records()).toBe(0);
});

test("79 an envelope that has expired, or comes from the future, is refused in a signed answer: its sender seals it anew", async () => {
  for (const hours of [-48, 1]) {
    const at = new Date(Date.now() + hours * 3600 * 1000);
    const sealed = await peer.push({}, join(pki, "hospital-a"), at);
    const body = await bytesOf(sealed.body());
    expect(await peer.post(sealed.headers, body)).toMatchObject({ status: 422, profile: "semrs-2" });
    // Over another's connection nobody is told anything.
    const other = await peer.post(sealed.headers, body, { as: join(pki, "registry") });
    expect(other).toMatchObject({ status: 422, profile: undefined });
  }
  expect(await records()).toBe(0);
});

test("signed by hospital A but sent over the registry's connection is refused", async () => {
  const sealed = await peer.push();
  expect((await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, "registry") })).status).toBe(
    422,
  );
});

test("no envelope at all, and no client certificate, are refused in clear", async () => {
  expect((await peer.post([["Content-Type", "text/plain"]], Buffer.from("hello"))).status).toBe(415);
  const refused = new Promise((resolve) => {
    const outgoing = request(
      { host: "127.0.0.1", port: exchange.env.B_PORT, path: "/semrs/v1/health/live", ca: read(pki, "ca.crt") },
      (response) => resolve(response.statusCode),
    );
    outgoing.on("error", (cause: NodeJS.ErrnoException) => resolve(cause.code));
    outgoing.end();
  });
  expect(String(await refused)).toMatch(/ECONNRESET|ERR_SSL|EPIPE/);
});

test("89 a house registers what its own repository holds, and nothing of another's", async () => {
  const facts = readCda(
    cda({ form: "116", extension: "R.1", patient: chen, code: "18782-3", display: "x", title: "t", body: "x" }),
  );
  const sha256 = "0".repeat(64);
  const statuses: number[] = [];
  for (const repository of ["hospital-b", "hospital-a"]) {
    const command = writeCommand<"register">({
      command: "register",
      submissionSet: "0".repeat(32),
      entries: [
        {
          entry: documentEntry(facts, { sha256, size: 1, repositoryUniqueId: repository, images: null }),
          manifestSha256: sha256,
        },
      ],
    });
    const sealed = await peer.push({
      purpose: "register",
      messageType: "register",
      to: [{ org: "registry", certificate: peer.certificateOf("registry") }],
      content: [await contentOf(command, "command", commandMediaType)],
    });
    const body = await bytesOf(sealed.body());
    const { REGISTRY_PORT } = exchange.env;
    statuses.push(
      (await peer.post(sealed.headers, body, { path: "/registry/submissions", port: REGISTRY_PORT })).status,
    );
  }
  expect(statuses).toEqual([403, 201]);
});

/** Asks the registry with a command, signed and sent by a house. */
const command = async (org: string, purpose: "register" | "change", bytes: Uint8Array): Promise<number> =>
  (await asking.ask(org, purpose, bytes)).status;

const source = { sha256: "1".repeat(64), size: 1, repositoryUniqueId: "hospital-a", images: null };
const report = (extension: string): Uint8Array =>
  cda({ form: "116", extension, patient: lin, code: "18782-3", display: "x", title: "t", body: "x" });

/** An entry of hospital A for a document of this extension, and the octets that register it. */
function entryFor(extension: string, replaces?: string) {
  const plain = documentEntry(readCda(report(extension)), source);
  const entry = replaces ? { ...plain, relatedDocuments: [{ type: "RPLC" as const, uniqueId: replaces }] } : plain;
  const entries = [{ entry, manifestSha256: "1".repeat(64) }];
  const removal = {
    command: "change",
    action: "remove",
    uniqueId: entry.uniqueId,
    manifestSha256: "1".repeat(64),
  } as const;
  return {
    uniqueId: entry.uniqueId,
    entries,
    removal: writeCommand<"change">(removal),
    registration: writeCommand<"register">({ command: "register", submissionSet: "0".repeat(32), entries }),
    change: writeCommand<"change">({
      command: "change",
      action: "deprecate",
      uniqueId: entry.uniqueId,
      manifestSha256: "1".repeat(64),
    }),
  };
}
/** How many entries of the patient the registry has for hospital B. */
async function found(): Promise<number> {
  const { patientIds } = documentEntry(readCda(report("FIND")), source);
  const query = { query: "findDocuments", patientIds, purposeOfUse: "TREAT" } as const;
  const answer = await asking.ask("hospital-b", "query", writeCommand<"query">({ command: "query", ...query }));
  return answer.found?.entries.length ?? -1;
}

test("90 an entry is deprecated by who registered it, and by nobody else", async () => {
  const { registration, change } = entryFor("CHANGE.1");
  expect(await command("hospital-a", "change", change)).toBe(404);
  expect(await command("hospital-a", "register", registration)).toBe(201);
  expect(await command("hospital-b", "change", change)).toBe(403);
  expect(await found()).toBe(1);
  expect(await command("hospital-a", "change", change)).toBe(200);
  expect(await command("hospital-a", "change", change)).toBe(200);
  expect(await found()).toBe(0);
});

test("90 an entry is removed by who registered it; DOCUMENT_REMOVED for whatever its house does with it then, and to others it never was", async () => {
  const { uniqueId, registration, change, removal } = entryFor("REMOVE.1");
  const before = await found();
  expect(await command("hospital-a", "change", removal)).toBe(404);
  expect(await command("hospital-a", "register", registration)).toBe(201);
  expect(await command("hospital-b", "change", removal)).toBe(403);
  expect(await found()).toBe(before + 1);
  expect(await command("hospital-a", "change", removal)).toBe(200);
  expect(await found()).toBe(before);
  expect(await command("hospital-a", "change", removal)).toBe(200);
  expect(await command("hospital-a", "change", change)).toBe(410);
  expect(await command("hospital-a", "register", registration)).toBe(410);
  const asked = { query: "getDocuments" as const, uniqueIds: [uniqueId], purposeOfUse: "TREAT" as const };
  const answer = await asking.ask("hospital-b", "query", writeCommand<"query">({ command: "query", ...asked }));
  expect(answer.found?.entries).toEqual([]);
});

test("90 whoever asks to change an entry of another house learns not whether there is one, unless it was told of it", async () => {
  const { uniqueId, registration, removal } = entryFor("HIDDEN.1");
  const guessed = { command: "change", uniqueId, manifestSha256: "2".repeat(64) } as const;
  const guesses = [
    writeCommand<"change">({ ...guessed, action: "deprecate" }),
    writeCommand<"change">({ ...guessed, action: "remove" }),
  ];
  const answers = () => Promise.all(guesses.map((each) => command("hospital-b", "change", each)));
  expect(await answers()).toEqual([404, 404]);
  expect(await command("hospital-a", "register", registration)).toBe(201);
  expect(await answers()).toEqual([404, 404]);
  expect(await command("hospital-b", "change", removal)).toBe(403);
  expect(await command("hospital-a", "change", removal)).toBe(200);
  expect(await command("hospital-b", "change", removal)).toBe(404);
});

test("an original that is registered after the one that replaces it is found no more", async () => {
  const original = entryFor("ORDER.1");
  expect(await command("hospital-a", "register", entryFor("ORDER.2", original.uniqueId).registration)).toBe(201);
  expect(await command("hospital-a", "register", original.registration)).toBe(201);
  expect(await found()).toBe(1);
});

test("an original that is registered in one submission with the one that replaces it is found no more", async () => {
  const [original, other] = [entryFor("TOGETHER.1"), entryFor("TOGETHER.2", entryFor("TOGETHER.1").uniqueId)];
  const entries = [original, other].flatMap(({ entries }) => entries);
  const registration = writeCommand<"register">({ command: "register", submissionSet: "0".repeat(32), entries });
  const before = await found();
  expect(await command("hospital-a", "register", registration)).toBe(201);
  expect(await found()).toBe(before + 1);
});

test("97 when the clock is behind the journal nothing is opened; the answer tells nothing", async () => {
  const problem = clearProblem(new Fault("CLOCK_BEHIND", "x"), "1");
  expect(problem).toMatchObject({ status: 503, type: "urn:semrs:problem:unavailable" });
});

test("a peer whose envelopes do not open is told to come back, and the next minute's is another matter", async () => {
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  body[body.length - 300] = (body[body.length - 300] ?? 0) ^ 1;
  const garbled = Buffer.from(body);
  garbled.fill(0x41, 400, 900);
  const statuses: number[] = [];
  for (let attempt = 0; attempt < 25; attempt += 1) statuses.push((await peer.post(sealed.headers, garbled)).status);
  expect(statuses.at(-1)).toBe(429);
  expect(exchange.log.filter(({ fields }) => fields.code === "PEER_BUSY").length).toBeGreaterThan(0);
});

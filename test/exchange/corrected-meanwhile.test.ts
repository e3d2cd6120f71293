/** What an author says of a record that is still on its way to another house: whoever waits for it there never gets it alone. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { contentOf } from "../../envelope/index.ts";
import { readCda } from "../../formats/cda.ts";
import { type Command, commandMediaType, writeCommand } from "../../formats/command.ts";
import { documentEntry } from "../../formats/document-entry.ts";
import { bytesOf, contentFrom } from "../envelope/people.ts";
import { adtFor, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Peer, peerOf } from "./peer.ts";
import { report } from "./two-authors.ts";

let exchange: TestExchange;
/** Speaks as hospital A, at hospital B. */
let peer: Peer;
beforeAll(async () => {
  const pki = await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms", AGAIN_1: "1h", AGAIN_2: "1h", AGAIN_3: "1h" });
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const correct = async (correction: Omit<Command<"correction">, "command">): Promise<number> => {
  const command = writeCommand<"correction">({ command: "correction", ...correction });
  const content = [await contentOf(command, "command", commandMediaType)];
  const sealed = await peer.push({ purpose: "notify", messageType: "correction", content });
  return (await peer.post(sealed.headers, await bytesOf(sealed.body()))).status;
};
const atHisB = (name: string): boolean => exchange.documentsAtB().has(sha256(report(name)));
const kindsAtHisB = async (): Promise<readonly (string | undefined)[]> =>
  (await exchange.messagesAtB(1)).map((message) => message.toString("utf8").split("|")[8]?.slice(0, 7));

test("a report that is cancelled while it is being pushed does not come to HIS B", async () => {
  const pushed = await peer.push({ content: [await contentFrom(report("PUSHED"), "cda")] });
  const body = await bytesOf(pushed.body());
  const { outgoing, answered } = peer.begin(pushed.headers, body.length);
  outgoing.write(body.subarray(0, body.length / 2));
  const { uniqueId } = readCda(report("PUSHED"));
  // Of the record in its author's house, which has a manifest of its own.
  expect(await correct({ uniqueId, manifestSha256: "0".repeat(64), by: null })).toBe(200);
  outgoing.end(body.subarray(body.length / 2));
  expect((await answered).statusCode).toBe(201);
  const next = await peer.push({ content: [await contentFrom(report("NEXT"), "cda")] });
  expect(await peer.post(next.headers, await bytesOf(next.body()))).toMatchObject({ status: 201 });
  // Of one patient, it comes behind what came before.
  await until("the next one at HIS B", () => atHisB("NEXT"));
  expect(atHisB("PUSHED")).toBe(false);
  expect(await kindsAtHisB()).toEqual(["MDM^T02"]);
});

test("what replaces a report that is still being fetched follows it", async () => {
  const registered = async (name: string): Promise<string> => {
    const record = async () => (await exchange.admin("hospital-a").get<Traced>(`/trace/${name}`)).records[0];
    await until(`${name} registered`, async () => (await record())?.state === "registered");
    return (await record())?.manifestSha256 ?? "";
  };
  const facts = { size: 1, repositoryUniqueId: "hospital-a", images: null };
  const entryOf = (name: string) => documentEntry(readCda(report(name)), { ...facts, sha256: sha256(report(name)) });
  await exchange.message(mdmFor(report("BEFORE"), { controlId: "BEFORE" }));
  const before = await registered("BEFORE");
  const b = exchange.admin("hospital-b");
  await b.post("/stops/hospital-a/pause", { reason: "its line is down" });
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  await until("asked", async () => (await b.get<Traced>("/trace/ADT")).steps.some(({ event }) => event === "answered"));
  const replacing = { controlId: "AFTER", event: "MDM^T10^MDM_T02", parent: "DOC-BEFORE" };
  await exchange.message(mdmFor(report("AFTER"), replacing));
  const manifestSha256 = await registered("AFTER");
  const { uniqueId } = entryOf("BEFORE");
  const entry = { ...entryOf("AFTER"), relatedDocuments: [{ type: "RPLC" as const, uniqueId }] };
  const correction = { uniqueId, manifestSha256: before, by: { entry, manifestSha256 } };
  // Hospital A tells it again until it is taken.
  expect(await correct(correction)).toBe(503);
  await b.post("/stops/hospital-a/resume", { reason: "it is up" });
  await until("the one before at HIS B", () => atHisB("BEFORE"));
  expect(await correct(correction)).toBe(200);
  await until("the one that replaces it at HIS B", () => atHisB("AFTER"));
  await until("told as that", async () => (await kindsAtHisB()).includes("MDM^T10"));
});

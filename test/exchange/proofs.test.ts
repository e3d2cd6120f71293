/** Proofs of delivery that a house makes up, repeats, or sends for what a relay has handed to it. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { contentOf, signReceipt } from "../../envelope/index.ts";
import { readCda } from "../../formats/cda.ts";
import { commandMediaType, receiptMediaType, writeCommand } from "../../formats/command.ts";
import { documentEntry } from "../../formats/document-entry.ts";
import { bytesOf } from "../envelope/people.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Answer, type Peer, peerOf } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, {}, (yaml) =>
    yaml.replace(/(certificates: "\$\{PKI:pki\}\/hospital-b") \}/, "$1, relays: [registry] }"),
  );
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const trace = (name: string) => exchange.admin("hospital-a").get<Traced>(`/trace/${name}`);
const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
const source = { sha256: "", size: 1, repositoryUniqueId: "hospital-a", images: null };
/** A record of hospital A that is registered: its id, and its manifest's digest, which the registry tells whoever may ask. */
async function registered(name: string): Promise<{ readonly id: string; readonly manifestSha256: string }> {
  await exchange.message(mdmFor(report(name), { controlId: name }));
  await until("registered", async () => (await trace(name)).records[0]?.state === "registered");
  const [record] = (await trace(name)).records;
  if (!record) throw new Error("it is registered");
  return record;
}

/** What a house says to hospital A over its own connection. */
async function say(
  org: string,
  path: string,
  purpose: "receipt" | "retrieve",
  command: Uint8Array,
  type: string,
): Promise<Answer> {
  const sealed = await peer.push(
    {
      purpose,
      sender: org,
      messageType: purpose,
      to: [{ org: "hospital-a", certificate: peer.certificateOf("hospital-a") }],
      content: [await contentOf(command, "command", type)],
    },
    join(pki, org),
  );
  const to = { as: join(pki, org), path, port: exchange.env.A_PORT };
  return await peer.post(sealed.headers, await bytesOf(sealed.body()), to);
}

/** The house's proof that it has delivered a record, signed now and in an envelope of its own. */
async function prove(org: string, { id, manifestSha256 }: { readonly id: string; readonly manifestSha256: string }) {
  const at = new Date();
  const receipt = {
    message: id,
    id,
    manifestSha256,
    from: org,
    to: "hospital-a",
    verdict: "delivered",
    receivedAt: `${at.toISOString().slice(0, 19)}Z`,
    names: [manifestSha256],
  } as const;
  return await say(
    org,
    "/repository/receipts",
    "receipt",
    await signReceipt(receipt, peer.signer(org), at),
    receiptMediaType,
  );
}

const proofs = async (name: string): Promise<readonly string[]> =>
  (await trace(name)).records.flatMap(({ receipts }) =>
    receipts.filter(({ kind }) => kind === "delivered").map(({ from }) => from),
  );
const told = async (name: string): Promise<number> =>
  (await trace(name)).steps.filter(({ event }) => event === "receipted").length;
/** Entries of hospital A's audit log that tell of a proof. */
async function audited(): Promise<number> {
  let text = "";
  for await (const chunk of await exchange.admin("hospital-a").download("/audit", { reason: "a test" }))
    text += Buffer.from(chunk).toString();
  return text.split("\n").filter((line) => line.includes('"event":"proof"') && line.includes('"outcome":"done"'))
    .length;
}

test("who was never answered and never pushed a record proves nothing, whatever it knows of it", async () => {
  const record = await registered("MADE_UP");
  expect(await prove("hospital-b", record)).toMatchObject({ status: 403, profile: "semrs-2" });
  expect(await proofs("MADE_UP")).toEqual([]);
  expect(await told("MADE_UP")).toBe(0);
});

test("what a relay was answered is proven by the house that it hands records to", async () => {
  const record = await registered("RELAYED");
  const { uniqueId } = documentEntry(readCda(report("RELAYED")), source);
  expect((await prove("hospital-b", record)).status).toBe(403);
  const command = writeCommand<"retrieve">({ command: "retrieve", uniqueId, manifestSha256: record.manifestSha256 });
  expect((await say("registry", "/repository/retrievals", "retrieve", command, commandMediaType)).status).toBe(200);
  expect((await prove("hospital-b", record)).status).toBe(204);
  expect(await proofs("RELAYED")).toEqual(["hospital-b"]);
});

test("what a house was answered by an older version, which did not keep its question, is proven", async () => {
  const record = await registered("BEFORE");
  const { uniqueId } = documentEntry(readCda(report("BEFORE")), source);
  const command = writeCommand<"retrieve">({ command: "retrieve", uniqueId, manifestSha256: record.manifestSha256 });
  expect((await say("hospital-b", "/repository/retrievals", "retrieve", command, commandMediaType)).status).toBe(200);
  const index = new DatabaseSync(join(exchange.folder, "data", "hospital-a", "semrs.db"), { timeout: 5_000 });
  expect(index.prepare("DELETE FROM evidence WHERE record = ? AND kind = 'request'").run(record.id).changes).toBe(1);
  index.close();
  expect((await prove("hospital-b", record)).status).toBe(204);
  expect(await proofs("BEFORE")).toEqual(["hospital-b"]);
});

test("a proof that comes again, signed anew, is answered as the first, and adds nothing", async () => {
  const record = await registered("REPEATED");
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  for (const name of ["REPEATED", "MADE_UP"])
    await until("proven", async () => (await proofs(name)).includes("hospital-b"));
  const before = await audited();
  expect((await prove("hospital-b", record)).status).toBe(204);
  expect((await prove("hospital-b", record)).status).toBe(204);
  expect(await told("REPEATED")).toBe(1);
  expect(await audited()).toBe(before);
});

/** What comes a second time: the same gets the same receipt, other content under the same name is refused. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { contentOf } from "../../envelope/index.ts";
import { commandMediaType, writeCommand } from "../../formats/command.ts";
import { forge } from "../envelope/forge.ts";
import { bytesOf } from "../envelope/people.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Peer, peerOf, recordsAtB } from "./peer.ts";

let exchange: TestExchange;
let peer: Peer;

beforeAll(async () => {
  const pki = await testPki();
  exchange = await openExchange(pki);
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const records = (): Promise<number> => recordsAtB(exchange);
const messageOf = (manifest: Uint8Array): string =>
  (JSON.parse(Buffer.from(manifest).toString("utf8")) as { message: string }).message;
const hasLogged = (code: string): boolean => exchange.log.some(({ fields }) => fields.code === code);

test("78 an untouched push is taken, receipted and delivered; the very same envelope again gets the very same receipt", async () => {
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  const first = await peer.post(sealed.headers, body);
  expect(first).toMatchObject({ status: 201, profile: "semrs-2", isRepeated: false });
  await until("the document at HIS B", () => exchange.documentsAtB().size === 1);
  const second = await peer.post(sealed.headers, body);
  expect(second).toMatchObject({ status: 201, profile: "semrs-2", isRepeated: true });
  expect(await peer.receiptIn(second, sealed)).toEqual(await peer.receiptIn(first, sealed));
  expect(await records()).toBe(1);
  expect(exchange.documentsAtB().size).toBe(1);
});

test("78 the same headers with other octets, and another envelope under an id that was seen, are refused", async () => {
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  expect((await peer.post(sealed.headers, body)).status).toBe(201);
  const flipped = Buffer.from(body);
  flipped[body.length - 200] = (flipped[body.length - 200] ?? 0) ^ 1;
  expect(await peer.post(sealed.headers, flipped)).toMatchObject({ status: 422, profile: undefined });

  // A sender that draws badly: two envelopes under one id, of one message and the same content.
  const same = { draft: await peer.draft(), signer: peer.signer(), id: "78".repeat(16) };
  const one = await forge({ ...same, created: new Date() });
  expect((await peer.post(one.headers, one.body)).status).toBe(201);
  const other = await forge({ ...same, created: new Date(Date.now() - 60_000) });
  expect(await peer.post(other.headers, other.body)).toMatchObject({ status: 409, profile: "semrs-2" });
  expect(hasLogged("ENVELOPE_REPLAYED")).toBe(true);
});

test("78 a question is answered once: who has lost the answer seals it anew", async () => {
  const patientIds = [{ root: "1.2", extension: "x" }];
  const query = writeCommand<"query">({
    command: "query",
    query: "findDocuments",
    patientIds,
    limit: 5,
    purposeOfUse: "TREAT",
  });
  const sealed = await peer.push({
    purpose: "query",
    messageType: "query",
    to: [{ org: "registry", certificate: peer.certificateOf("registry") }],
    content: [await contentOf(query, "command", commandMediaType)],
  });
  const body = await bytesOf(sealed.body());
  const ask = () => peer.post(sealed.headers, body, { path: "/registry/queries", port: exchange.env.REGISTRY_PORT });
  expect(await ask()).toMatchObject({ status: 200, profile: "semrs-2" });
  // It is told so, signed: who repeats by mistake has to know.
  expect(await ask()).toMatchObject({ status: 409, profile: "semrs-2" });
});

test("93 the same message sealed anew gets the same receipt, other content under it is refused, signed", async () => {
  const draft = await peer.draft();
  const [first, again] = [await peer.push(draft), await peer.push(draft)];
  const taken = await peer.post(first.headers, await bytesOf(first.body()));
  expect(taken).toMatchObject({ status: 201, isRepeated: false });
  const repeated = await peer.post(again.headers, await bytesOf(again.body()));
  expect(repeated).toMatchObject({ status: 201, isRepeated: true });
  expect(await peer.receiptIn(repeated, again)).toEqual(await peer.receiptIn(taken, first));

  const other = await peer.push({ message: messageOf(first.manifest) });
  expect(await peer.post(other.headers, await bytesOf(other.body()))).toMatchObject({
    status: 409,
    profile: "semrs-2",
  });
  expect(hasLogged("ENVELOPE_CONFLICT")).toBe(true);
});

test("82 the same envelope four times at once is delivered once, and each gets its receipt", async () => {
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  const kept = await records();
  // What was pushed before is on its way to the HIS: it is there first.
  await until("what came before", () => exchange.documentsAtB().size === kept);
  const answers = await Promise.all(Array.from({ length: 4 }, () => peer.post(sealed.headers, body)));
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
  const receipts = await Promise.all(
    answers.map(async (answer) => (await peer.receiptIn(answer, sealed)).toString("hex")),
  );
  expect(new Set(receipts).size).toBe(1);
  expect(await records()).toBe(kept + 1);
  await until("the document at HIS B", () => exchange.documentsAtB().size > kept);
  expect(exchange.documentsAtB().size).toBe(kept + 1);
});

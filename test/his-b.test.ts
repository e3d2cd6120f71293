/** What HIS B is handed: an addendum as one, and messages in the charset that it reads, around documents that stay as they are. */
import { afterEach, beforeAll, expect, test } from "vitest";
import { documentEvent, embeddedDocuments, fieldsOf, type MessageFacts, readMsh, segments } from "../formats/hl7.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let exchange: TestExchange;
afterEach(() => exchange.close());

const report = (extension: string, patient = chen): Uint8Array =>
  cda({ form: "113", extension, patient, code: "1-8", display: "血液", title: "檢驗報告", body: extension });
const admitted = (): Promise<unknown> => exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
const fieldsIn = (message: Uint8Array, facts: MessageFacts, name: string): readonly string[] => {
  const segment = [...segments(message)].find((each) => each.name === name);
  return segment ? fieldsOf(segment, facts) : [];
};

test("an addendum comes as MDM^T06 and names what it is appended to, which stands", async () => {
  exchange = await openExchange(pki);
  const [first, more] = [report("WHOLE.1"), report("MORE.1")];
  await exchange.message(mdmFor(first, { controlId: "M1", name: "DOC1^HIS" }));
  await exchange.registered(1);
  const how = { controlId: "M2", event: "MDM^T06^MDM_T02", name: "DOC2^HIS", parent: "DOC1^HIS" };
  await exchange.message(mdmFor(more, how));
  await exchange.registered(2);
  await admitted();
  const told = (await exchange.messagesAtB(2)).map((message) => {
    const facts = readMsh(message);
    const [{ bytes } = { bytes: new Uint8Array() }] = embeddedDocuments(message, facts);
    const txa = fieldsIn(message, facts, "TXA");
    return [facts.messageType, documentEvent(facts, message), sha256(bytes), txa[12], txa[13]];
  });
  const id = (extension: string): string => `2.16.886.104.100565.100008\\S\\${extension}`;
  expect(told.sort()).toEqual([
    ["MDM^T02", "new", sha256(first), id("WHOLE.1"), ""],
    ["MDM^T06", "addendum", sha256(more), id("MORE.1"), id("WHOLE.1")],
  ]);
});

test("a HIS that reads Big5 is written to in Big5; the document in it is as it was sealed", async () => {
  exchange = await openExchange(pki, {}, (yaml) => yaml.replace(/B_ADT:2576\}",/, "$& charset: big5,"));
  const document = report("BIG5.1");
  await exchange.message(mdmFor(document, { controlId: "M1" }));
  await exchange.registered(1);
  await admitted();
  const [message = Buffer.alloc(0)] = await exchange.messagesAtB(1);
  await until("the document", () => exchange.documentsAtB().has(sha256(document)));
  const facts = readMsh(message);
  expect([facts.charsetField, facts.charset]).toEqual(["BIG-5", "big5"]);
  expect(fieldsIn(message, facts, "PID")[5]).toBe("陳怡君");
  expect(message.includes(Buffer.from([0xb3, 0xaf]))).toBe(true);
  expect(message.includes("陳")).toBe(false);
});

test("and one that reads a charset without a name in MSH-18, after a transform of what is written to it", async () => {
  exchange = await openExchange(pki, {}, (yaml) =>
    yaml
      .replace(/B_ADT:2576\}",/, "$& charset: windows-1250,")
      .replace("    deliver:\n", '    transform: [{ set: PID-10, to: "ł" }]\n    deliver:\n'),
  );
  const document = report("POLISH.1", { ...chen, name: "Łukasz" });
  await exchange.message(mdmFor(document, { controlId: "M1" }));
  await exchange.registered(1);
  await admitted();
  const [message = Buffer.alloc(0)] = await exchange.messagesAtB(1);
  await until("the document", () => exchange.documentsAtB().has(sha256(document)));
  const pid = fieldsIn(message, readMsh(message, { charset: "windows-1250" }), "PID");
  expect([pid[5], pid[10]]).toEqual(["Łukasz", "ł"]);
});

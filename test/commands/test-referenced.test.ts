/** `semrs test` with messages that only refer to their document: the test has it, where the HIS would be asked. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { embeddedDocuments, readMsh } from "../../formats/hl7.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { admission, record, tested } from "./tested.ts";

const base = "https://his.hospital-a.example/documents/";
const allowed = [
  "charset: from-msh-18, answer",
  `references: [{ prefix: "${base}", trust: [/nowhere/his.crt], maxBytes: 65536 }], charset: from-msh-18, answer`,
] as const;
const message = sampleMessage("mdm-t02-121");
const folder = mkdtempSync(join(tmpdir(), "semrs-referenced-"));
const file = join(folder, "121.xml");
writeFileSync(file, embeddedDocuments(message, readMsh(message))[0]?.bytes ?? "");
writeFileSync(join(folder, "huge.xml"), Buffer.alloc(65_537, "x"));

const referring = (address: string, answer: object) => ({
  ...record,
  set: { "OBX-2": "RP", "OBX-5": `${address}^HIS^TEXT^XML` },
  expect: answer,
});
const run = (referenced: object, send: unknown, wanted: object) =>
  tested([allowed], { site: "hospital-a", tests: [{ name: "it", referenced, send, expect: wanted, within: "20s" }] });

test("what the test has under an address is fetched, judged and delivered octet for octet", async () => {
  const send = [referring(`${base}a/../121.xml`, { ack: "CA" }), admission];
  const { exit, out } = await run({ [`${base}./121.xml`]: file }, send, {
    channel: "documents",
    findings: [],
    routed: ["registry"],
    delivered: [{ to: "hospital-b/his", message: "MDM^T02", document: "identical" }],
  });
  expect({ exit, out }).toMatchObject({ exit: 0 });
}, 60_000);

test.each([
  ["under another address is nothing", `${base}other.xml`, "121.xml", "DOCUMENT_UNKNOWN"],
  [
    "what references does not allow is not fetched",
    "https://elsewhere.example/121.xml",
    "121.xml",
    "DOCUMENT_MALFORMED",
  ],
  ["more than maxBytes is not fetched", `${base}121.xml`, "huge.xml", "TOO_LARGE"],
])(
  "%s",
  async (_name, address, name, code) => {
    const referenced = { [`${base}121.xml`]: join(folder, name), "https://elsewhere.example/121.xml": file };
    const { exit, out } = await run(referenced, referring(address, {}), { findings: [code], routed: [] });
    expect({ exit, out }).toMatchObject({ exit: 0 });
  },
  60_000,
);

test("an address that is none, and a file that is not there, are told as that", async () => {
  const none = await run({ "documents/121.xml": file }, record, {});
  expect(none).toMatchObject({ exit: 78, err: expect.stringContaining("an https: or http: address") });
  const away = await run({ [base]: join(folder, "away.xml") }, record, {});
  expect(away).toMatchObject({ exit: 1, out: expect.stringContaining("away.xml is not there; is this the right") });
  const unsent = await run({}, { ...record, files: [join(folder, "away.hl7")] }, {});
  expect(unsent).toMatchObject({ exit: 1, out: expect.stringContaining("away.hl7 is not there; is this the right") });
}, 60_000);

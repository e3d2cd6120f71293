/** Messages of our own, in each form and for each event: what they say is what our own reader and python-hl7 hear. */
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import {
  buildMdm,
  documentEvent,
  embeddedDocuments,
  fieldsOf,
  type MdmDraft,
  readMsh,
  segments,
} from "../../formats/hl7.ts";
import { documents } from "../fixtures/documents.ts";
import { draft } from "../fixtures/mdm-draft.ts";
import { peer } from "../peers.ts";

const pdf = Buffer.from("%PDF-1.7 beside it");
const built = (form: "MDM" | "ORU", event: MdmDraft["event"]): Uint8Array =>
  buildMdm({
    ...draft,
    form,
    event,
    document: {
      ...draft.document,
      attachments: [{ bytes: pdf, type: "application/pdf" }],
      uniqueId: "1.2.3:9|9",
      parentId: "1.2.3:8",
      typeName: "CT",
    },
  });

const fieldsIn = (message: Uint8Array, name: string): readonly (readonly string[])[] => {
  const facts = readMsh(message);
  return [...segments(message)].filter((each) => each.name === name).map((each) => fieldsOf(each, facts));
};

describe.each([
  ["MDM", "T02", "MDM^T02", "new", "F"],
  ["MDM", "T06", "MDM^T06", "addendum", "F"],
  ["MDM", "T10", "MDM^T10", "replacement", "F"],
  ["MDM", "T11", "MDM^T11", "cancel", null],
  ["ORU", "T02", "ORU^R01", "new", "F"],
  ["ORU", "T06", "ORU^R01", "new", "F"],
  ["ORU", "T10", "ORU^R01", "replacement", "C"],
  ["ORU", "T11", "ORU^R01", "cancel", "X"],
] as const)("%s for %s", (form, event, type, heard, status) => {
  const message = built(form, event);
  const facts = readMsh(message);

  test("says what happens to the document, and which one", () => {
    expect(facts.messageType).toBe(type);
    expect(documentEvent(facts, message)).toBe(heard);
    expect(fieldsIn(message, "OBX").map((fields) => fields[11])).toEqual(
      status === null ? [] : event === "T11" ? [status] : [status, status],
    );
    const [order] = fieldsIn(message, "OBR");
    const [notice] = fieldsIn(message, "TXA");
    if (form === "ORU") expect([order?.[3], order?.[25]]).toEqual(["1.2.3:9\\F\\9", status]);
    else expect([notice?.[12], notice?.[13]]).toEqual(["1.2.3:9\\F\\9", "1.2.3:8"]);
  });

  test("carries the document and what is beside it, octet for octet; a cancellation carries neither", () => {
    const found = embeddedDocuments(message, facts);
    if (event === "T11") expect(found.filter(({ kind }) => kind !== "other")).toEqual([]);
    else
      expect(
        found.map(({ kind, bytes }) => [kind, Buffer.compare(bytes, kind === "pdf" ? pdf : documents.bare)]),
      ).toEqual([
        ["cda", 0],
        ["pdf", 0],
      ]);
  });

  const python = peer("python3:hl7");
  test.skipIf(!python.available)(`is read by python-hl7 ${python.reason}`, () => {
    const script =
      "import hl7, sys\nm = hl7.parse(sys.stdin.buffer.read().decode())\nprint(m.segment('MSH')[9], m['PID.5'])";
    const told = execFileSync("/usr/bin/python3", ["-c", script], { input: Buffer.from(message) }).toString();
    expect(told.trim()).toMatch(new RegExp(`^${type.replace("^", "\\^")}.* 林志明$`));
  });
});

describe("in the charset that the receiver reads", () => {
  const named = (charset: string, name: string) => {
    const message = buildMdm({ ...draft, charset, patient: { ...draft.patient, name } });
    const facts = readMsh(message, { charset });
    const [document] = embeddedDocuments(message, facts);
    expect(Buffer.compare(document?.bytes ?? Buffer.alloc(0), documents.bare)).toBe(0);
    return [readMsh(message).charsetField, fieldsIn(message, "PID")[0]?.[5]];
  };
  test.each([
    ["utf-8", "UNICODE UTF-8", "林志明"],
    ["big5", "BIG-5", "許功蓋"],
    ["gb18030", "GB 18030-2000", "王小明㐀"],
    ["shift_jis", "SHIFT-JIS", "表示ソ能"],
    ["iso-2022-jp", "ASCII~ISO IR87", "山田太郎"],
    ["euc-kr", "KS X 1001", "김철수"],
    ["iso-8859-2", "8859/2", "Łukasz"],
    ["iso-8859-5", "8859/5", "Иван"],
    ["windows-1252", "8859/1", "Müller"],
  ])("%s is named %s in MSH-18 and read by our own reader", (charset, field, name) => {
    expect(named(charset, name)).toEqual([field, name]);
  });

  test("what it does not have is written ? around the document, and the document stays", () => {
    expect(named("big5", "林é明")).toEqual(["BIG-5", "林?明"]);
    expect(named("iso-2022-jp", "山\uac00田")).toEqual(["ASCII~ISO IR87", "山?田"]);
  });
});

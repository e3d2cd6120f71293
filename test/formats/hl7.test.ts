/** HL7 v2: what messages say, how documents travel in them, and what third-party messages get. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { codeOf, orFault } from "../../errors.ts";
import {
  buildAck,
  buildMdm,
  documentEvent,
  embeddedDocuments,
  escapeText,
  patientIdentifiers,
  payloadlessFrame,
  readMsh,
  unescapeText,
} from "../../formats/hl7.ts";
import { admittedPatient } from "../../formats/hl7-patient.ts";
import { documentNames } from "../../formats/hl7-txa.ts";
import { adtFor, documents, mdmFor } from "../fixtures/documents.ts";
import { draft } from "../fixtures/mdm-draft.ts";
import { zipOf } from "../fixtures/zip.ts";
import { fixtures } from "../peers.ts";

const read = (bytes: Uint8Array) => embeddedDocuments(bytes, readMsh(bytes));

describe("documents", () => {
  test.for(["base64", "text", "multipart"] as const)("carried as %s come out as they went in", (carriage) => {
    const [document] = read(mdmFor(documents["116"], { controlId: "1", carriage }));
    expect(document?.kind).toBe("cda");
    expect(Buffer.compare(document?.bytes ?? Buffer.alloc(0), documents["116"])).toBe(0);
  });

  test("Base64 is strict, but for line breaks", () => {
    const whole = Buffer.from(mdmFor(documents["113"], { controlId: "1" })).toString("latin1");
    const at = whole.indexOf("Base64^") + 40;
    const broken = (piece: string) => Buffer.from(whole.slice(0, at) + piece + whole.slice(at), "latin1");
    expect(Buffer.compare(read(broken("\\.br\\"))[0]?.bytes ?? Buffer.alloc(0), documents["113"])).toBe(0);
    for (const piece of ["*", "=", "A", "-"]) expect(() => read(broken(piece)), piece).toThrow(/Base64 is not valid/);
  });

  test.each(["\\.br\\", "\\X0D0A\\", " "])("Base64 alone in OBX-5, in lines ended by %j", (end) => {
    const bare = Buffer.from(documents["113"]).toString("base64").replaceAll(/.{76}/g, `$&${end}`);
    const whole = Buffer.from(mdmFor(documents["113"], { controlId: "1" })).toString("latin1");
    const [found] = read(
      Buffer.from(whole.replace(/\^TEXT\^XML\^Base64\^[^|]*/, bare.replaceAll("$", "$$$$")), "latin1"),
    );
    expect(found?.kind).toBe("cda");
    expect(Buffer.compare(found?.bytes ?? Buffer.alloc(0), documents["113"])).toBe(0);
  });

  test.each(["\r", "\n", "\r\n"])(
    "a value that is broken into lines by %j is refused, never taken for its first line",
    (end) => {
      const lines = Buffer.from(`%PDF-1.4 ${"x".repeat(200)}`)
        .toString("base64")
        .replaceAll(/.{76}/g, `$&${end}`);
      const head = "MSH|^~\\&|HIS|A|SEMRS|A|20260116||ORU^R01|T1|P|2.5.1\rPID|1\r";
      const message = Buffer.from(`${head}OBX|1|ED|||^application^pdf^Base64^${lines}||||||F\rNTE\r`);
      expect(() => read(message)).toThrow(/OBX 1: a line end stands in its value/);
    },
  );

  test("text that happens to be of the alphabet is no Base64 unless it is whole", () => {
    const whole = Buffer.from(mdmFor(documents["113"], { controlId: "1" })).toString("latin1");
    const [found] = read(Buffer.from(whole.replace(/\^TEXT\^XML\^Base64\^[^|]*/, "see report"), "latin1"));
    expect(Buffer.from(found?.bytes ?? []).toString()).toBe("see report");
  });

  const zip = zipOf([{ name: "CDA_ROOT.XML", content: Buffer.from("<ClinicalDocument/>") }]);
  test.each([
    ["TEXT^XML", Buffer.from("%PDF-1.4"), "it says XML and is PDF"],
    ["TEXT^XML", zip, "it says XML and is ZIP"],
    ["application^pdf", Buffer.from("<?xml version='1.0'?><ClinicalDocument/>"), "it says PDF and is XML"],
    ["application^pdf", zip, "it says PDF and is ZIP"],
    ["application^zip", Buffer.from("<ClinicalDocument/>"), "it says ZIP and is XML"],
    ["application^zip", Buffer.from("%PDF-1.4"), "it says ZIP and is PDF"],
    ["application^zip", Buffer.from("neither"), "it says ZIP and is none"],
  ])("what says %s and is something else is refused", (type, bytes, why) => {
    const text = Buffer.from(mdmFor(bytes, { controlId: "1" }))
      .toString("latin1")
      .replace("TEXT^XML", type);
    expect(() => read(Buffer.from(text, "latin1"))).toThrow(expect.objectContaining({ code: "DOCUMENT_MALFORMED" }));
    expect(() => read(Buffer.from(text, "latin1"))).toThrow(why);
  });
  test("the fault names the OBX by its number, and by nothing else that may stand there", () => {
    const text = (id: string) =>
      `MSH|^~\\&|H|H|E|E|20260101||MDM^T02|1|P|2.5.1\rOBX|${id}|ED|x||^TEXT^XML^Base64^?|||||F\r`;
    const said = (id: string) => {
      const bytes = Buffer.from(text(id), "utf8");
      return orFault(() => embeddedDocuments(bytes, readMsh(bytes)));
    };
    expect(said("7")).toMatchObject({ message: expect.stringMatching(/^OBX 7: /) });
    for (const id of ["CHEN YICHUN", "7".repeat(100_000)])
      expect(said(id)).toMatchObject({ message: expect.stringMatching(/^OBX \?: .{1,200}$/) });
  });

  test.each(["constructor", "__proto__", "toString"])("%s is a value that no table has", (word) => {
    const base64 = Buffer.from("<ClinicalDocument/>").toString("base64");
    const lines = (trigger: string, subtype: string, status: string): Buffer =>
      Buffer.from(
        `MSH|^~\\&|A|B|C|D|20260101||${trigger}|1|P|2.5\rOBX|1|ED|||^TEXT^${subtype}^Base64^${base64}||||||${status}\r`,
      );
    expect(read(lines("MDM^T02", word, "F"))).toMatchObject([{ kind: "cda", event: "new" }]);
    expect(read(lines(`MDM^${word}`, "XML", "F"))).toMatchObject([{ kind: "cda", event: "new" }]);
    expect(read(lines("ORU^R01", "XML", word))).toMatchObject([{ kind: "cda", event: "new" }]);
  });

  test("the frame that is kept has digests where its documents were", () => {
    const message = mdmFor(documents["116"], { controlId: "1" });
    const kept = Buffer.from(payloadlessFrame(message, readMsh(message))).toString("utf8");
    expect(kept).toMatch(/OBX\|1\|ED\|\|\|sha256:[0-9a-f]{64};\d+\r$/);
    expect(kept).toContain("PID|1||");
    expect(kept.length).toBeLessThan(600);
  });
});

test("patient identifiers: names, OIDs, and roots alone", () => {
  const message = adtFor(
    "A1^^^MOI^NI~X2^^^&1.2.3&ISO~1.2.3.4.5~Y3^^^&1.2.4~Z4^^^&1.2.5&iso~D5^^^&a.example&DNS~E6^^^&1.2.6&L",
  );
  expect(patientIdentifiers(message, readMsh(message))).toEqual([
    { id: "A1", authority: "MOI", root: null },
    { id: "X2", authority: null, root: "1.2.3" },
    { id: "1.2.3.4.5", authority: null, root: null },
    { id: "Y3", authority: null, root: "1.2.4" },
    { id: "Z4", authority: null, root: "1.2.5" },
    { id: "D5", authority: null, root: null },
    { id: "E6", authority: null, root: null },
  ]);
});

test("blanks that fill a field up are no part of what it says", () => {
  const padded = adtFor("A1      ^^^MOI  ^NI~X2 ^^^&1.2.3 &ISO ");
  const facts = readMsh(padded);
  expect(patientIdentifiers(padded, facts)).toEqual([
    { id: "A1", authority: "MOI", root: null },
    { id: "X2", authority: null, root: "1.2.3" },
  ]);
  expect(admittedPatient(padded, facts).numbers.map(({ id, issuer }) => `${id} ${issuer}`)).toEqual([
    "A1 MOI",
    "X2 1.2.3",
  ]);
  const withdrawn = Buffer.from(mdmFor(documents["113"], { controlId: "1", event: "ORU^R01^ORU_R01" }));
  const [document] = read(Buffer.from(withdrawn.toString("utf8").replace(/\|F\r$/, "|D \r")));
  expect(document?.event).toBe("cancel");
  const txa = Buffer.from("MSH|^~\\&|H|A|S|A|1||MDM^T11|1|P|2.5\rTXA|1|||||||||||DOC1  ^HIS \r");
  expect(documentNames(txa, readMsh(txa)).own?.written).toBe("DOC1^HIS^");
});

test("escaping is undone by unescaping, and no value becomes a segment", () => {
  const facts = readMsh(mdmFor(documents["113"], { controlId: "1" }));
  const nasty = "a|b^c~d\\e&f\rMSH|g\nh";
  const escaped = escapeText(nasty, facts.separators);
  expect(escaped).not.toMatch(/[|^~&\r\n]/);
  expect(unescapeText(escaped, facts)).toBe(nasty);
});

test("a document by reference is told as one, whichever way it is written", () => {
  const kinds = (obx: string): readonly string[] => {
    const message = Buffer.from(`MSH|^~\\&|HIS|A|SEMRS|A|20260116||MDM^T02|T1|P|2.5.1\r${obx}\r`);
    return embeddedDocuments(message, readMsh(message)).map(({ kind }) => kind);
  };
  expect(kinds("OBX|1|RP|||\\\\server\\report.pdf^^TEXT^PDF||||||F")).toEqual(["reference"]);
  expect(kinds("OBX|1|ED|||^AP^^^https://his.example/report/1||||||F")).toEqual(["reference"]);
});

test("Base64 inside a MIME package is as strict as outside", () => {
  const part = (data: string): Uint8Array =>
    Buffer.from(
      `MSH|^~\\&|HIS|A|SEMRS|A|20260116||MDM^T02|T1|P|2.5.1\rOBX|1|ED|||^multipart^related^A^MIME-Version: 1.0\\X0D0A\\Content-Type: multipart/related; boundary=B\\X0D0A0D0A\\--B\\X0D0A\\Content-Transfer-Encoding: base64\\X0D0A0D0A\\${data}\\X0D0A\\--B--||||||F\r`,
    );
  const read = (message: Uint8Array) => embeddedDocuments(message, readMsh(message));
  const good = Buffer.from("<ClinicalDocument/>").toString("base64");
  expect(read(part(good)).map(({ kind }) => kind)).toEqual(["cda"]);
  expect(() => read(part(`!!??${good}`))).toThrow(/its Base64 is not valid/);
});

describe("a document as escaped text", () => {
  const carried = (charset: string, encoding: string, body: Uint8Array): Uint8Array => {
    const declared = `<?xml version="1.0" encoding="${encoding}"?><ClinicalDocument>`;
    const message = Buffer.concat([
      Buffer.from(
        `MSH|^~\\&|HIS|A|SEMRS|A|20260116||MDM^T02|T1|P|2.5.1||||||${charset}\rOBX|1|ED|||^TEXT^XML^A^${declared}`,
      ),
      body,
      Buffer.from("</ClinicalDocument>||||||F\r"),
    ]);
    const [document] = embeddedDocuments(message, readMsh(message));
    return Buffer.from(document?.bytes ?? []).subarray(declared.length, -"</ClinicalDocument>".length);
  };
  test("is octets of the encoding that it declares, in a message of that charset or another", () => {
    const latin = Buffer.from("caf\u00e9", "latin1");
    expect(Buffer.compare(carried("8859/1", "ISO-8859-1", latin), latin)).toBe(0);
    expect(Buffer.compare(carried("UNICODE UTF-8", "ISO-8859-1", Buffer.from("café")), latin)).toBe(0);
    expect(Buffer.from(carried("8859/1", "UTF-8", latin)).toString("utf8")).toBe("café");
  });
  test("octets escaped one by one are one character together", () => {
    const escaped = Buffer.from("\\XE4\\\\XB8\\\\XAD\\x\\XE6\\\\X96\\\\X87\\");
    expect(Buffer.from(carried("UNICODE UTF-8", "UTF-8", escaped)).toString("utf8")).toBe("中x文");
  });
  test("keeps a backslash that its sender has not escaped, and what stands behind it", () => {
    const body = "<p>dose 5\\10 mg</p><p>C:\\temp \\T\\ \\constructor\\</p>";
    expect(Buffer.from(carried("", "UTF-8", Buffer.from(body))).toString("utf8")).toBe(body.replace("\\T\\", "&"));
  });
  test.each([
    ["", Buffer.from("M\u00fcller", "latin1")],
    ["BIG-5", Buffer.from("\xa4\xff", "latin1")],
    ["", Buffer.from("\\XFC\\")],
  ])("is refused where it is not text of its message's charset (%j)", (charset, body) => {
    expect(() => carried(charset, "UTF-8", body)).toThrow(/not in the character set of its message/);
  });
  test("may have the character that stands for one that could not be read", () => {
    expect(Buffer.from(carried("", "UTF-8", Buffer.from("a\ufffdb"))).toString("utf8")).toBe("a\ufffdb");
  });
  test("is refused where its text has what its encoding has not", () => {
    expect(() => carried("UNICODE UTF-8", "ISO-8859-1", Buffer.from("中"))).toThrow(/characters that the encoding/);
    expect(() => carried("UNICODE UTF-8", "UTF-16", Buffer.from("x"))).toThrow(/cannot have/);
  });
});

test("a message of ours carries the document as it is, and its values escaped", () => {
  const built = buildMdm({
    ...draft,
    patient: { ...draft.patient, identifiers: [{ id: "A&1", root: "1.2" }], name: "林|志明" },
  });
  const facts = readMsh(built);
  expect([facts.messageType, facts.controlId, facts.dateTime]).toEqual(["MDM^T02", "C1", "20260116090203+0800"]);
  expect(patientIdentifiers(built, facts)).toEqual([{ id: "A&1", authority: null, root: "1.2" }]);
  expect(Buffer.compare(read(built)[0]?.bytes ?? Buffer.alloc(0), documents.bare)).toBe(0);
});

test("an acknowledgement echoes the control id, and is in the sender's words", () => {
  const facts = readMsh(mdmFor(documents["113"], { controlId: "ID 7" }));
  const ack = buildAck(facts, {
    code: "AE",
    controlId: "OURS",
    now: new Date(),
    errors: [{ code: "102", text: "line 3 | x" }],
  });
  const lines = Buffer.from(ack).toString("utf8").split("\r");
  expect(lines[0]).toMatch(
    /^MSH\|\^~\\&\|SEMRS\|HOSPA\|HIS\|HOSPA\|\d{14}\+0000\|\|ACK\^T02\^ACK\|OURS\|P\|2\.5\.1\|\|\|\|\|\|UNICODE UTF-8$/,
  );
  expect(lines.slice(1)).toEqual(["MSA|AE|ID 7", "ERR|||102^^HL70357|E|||line 3 \\F\\ x", ""]);
});

/** What third-party messages hold: documents by kind, or the code that refuses them; everything else is read and holds none. */
const expected: Readonly<Record<string, string>> = {
  "cosyte-count-mismatch.hl7": "HL7_MALFORMED",
  "cosyte-malformed-mid-batch.hl7": "HL7_MALFORMED",
  "cosyte-single-batch.hl7": "HL7_MALFORMED",
  "hapi-uuencoded.txt": "HL7_MALFORMED",
  "fr-message_MDM_CR_Radio_DEL_N1.er7": "cancel unread other",
  "fr-message_MDM__LPS_MSS_CR_Radio_DEL_N1.er7": "cancel unread other",
  "fr-message_MDM__LPS_MSS_CR_Radio_RPLC_N1.er7": "DOCUMENT_MALFORMED",
  "fr-message_ORU_CR_Bio_INIT_N3_SEGUR.hl7": "DOCUMENT_MALFORMED",
  "fr-message_MDM_CR_Radio_INIT_N1.er7": "new cda other",
  "fr-message_MDM_CR_Radio_INIT_N1_Base64.er7": "new cda other",
  "fr-message_MDM_CR_Radio_RPLC_N1.er7": "replacement cda other",
  "fr-message_MDM__LPS_MSS_CR_Radio_INIT_N1.er7": "new cda other",
  "made-bad-base64.hl7": "DOCUMENT_MALFORMED",
  "made-bad-pid-mismatch.hl7": "new cda",
  "made-enhanced-al-al.hl7": "new cda",
  "made-enhanced-ne-ne.hl7": "new cda",
  "made-mdm-t02-base64-tw.hl7": "new cda",
  "made-mdm-t02-big5.hl7": "new cda",
  "made-mdm-t02-escaped-text.hl7": "new cda",
  "made-mdm-t02-lf-base64-lines.hl7": "new cda",
  "made-mdm-t02-multipart-related.hl7": "new cda other",
  "made-mdm-t02-sjis-in-2022.hl7": "new cda",
  "made-mdm-t06-addendum.hl7": "addendum cda",
  "made-mdm-t10-replace.hl7": "replacement cda",
  "made-mdm-t11-cancel.hl7": "cancel",
  "made-oru-r01-ed-cda-and-pdf.hl7": "new cda pdf",
};
const folder = fixtures("hl7v2");
const names = folder.available ? readdirSync(folder.path).filter((name) => !/\.(md|mllp)$/.test(name)) : [];

describe.skipIf(!folder.available)(`third-party messages ${folder.reason}`, () => {
  test.for(names)("%s", (name) => {
    const bytes = readFileSync(join(folder.path, name));
    let got: string;
    try {
      const facts = readMsh(bytes);
      got = [documentEvent(facts, bytes), ...embeddedDocuments(bytes, facts).map(({ kind }) => kind)].join(" ");
    } catch (thrown) {
      got = codeOf(thrown);
    }
    expect(got).toBe(expected[name] ?? "new");
  });
});

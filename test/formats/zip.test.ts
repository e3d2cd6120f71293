/** ZIP as documents travel in it: what archivers write is read, everything else is a typed fault. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fault } from "../../errors.ts";
import { embeddedDocuments, readMsh } from "../../formats/hl7.ts";
import { readZip } from "../../formats/zip.ts";
import { documents } from "../fixtures/documents.ts";
import { zipOf } from "../fixtures/zip.ts";

const cda = documents["113"];
const text = (value: string): Uint8Array => Buffer.from(value);

test("stored and deflated entries, in order, folders left out", () => {
  const archive = zipOf([
    { name: "IHE_XDM/", content: text("") },
    { name: "IHE_XDM/SUBSET01/CDA_ROOT.XML", content: cda },
    { name: "README.TXT", content: text("read me"), isStored: true },
  ]);
  const entries = readZip(archive);
  expect(entries.map(({ name }) => name)).toEqual(["IHE_XDM/SUBSET01/CDA_ROOT.XML", "README.TXT"]);
  expect(Buffer.from(entries[0]?.read() ?? []).equals(cda)).toBe(true);
  expect(Buffer.from(entries[1]?.read() ?? []).toString()).toBe("read me");
});

test("an archive that Python writes, with a comment at its end", () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-zip-"));
  writeFileSync(join(folder, "CDA_ROOT.XML"), cda);
  const script =
    "import zipfile,sys; z=zipfile.ZipFile('a.zip','w',zipfile.ZIP_DEFLATED); z.comment=b'made by hand'; z.write('CDA_ROOT.XML'); z.close()";
  execFileSync("/usr/bin/python3", ["-c", script], { cwd: folder });
  const [entry] = readZip(readFileSync(join(folder, "a.zip")));
  expect(Buffer.from(entry?.read() ?? []).equals(cda)).toBe(true);
});

const base = { name: "CDA_ROOT.XML", content: cda };
describe("refused", () => {
  test.each<[string, () => Uint8Array, string]>([
    ["no archive", () => text("PK\u0003\u0004 nothing more"), "DOCUMENT_MALFORMED"],
    ["its end is missing", () => zipOf([base]).subarray(0, -8), "DOCUMENT_MALFORMED"],
    ["octets behind its end", () => Buffer.concat([zipOf([base]), text("x")]), "DOCUMENT_MALFORMED"],
    ["an encrypted entry", () => zipOf([{ ...base, flags: 1 }]), "DOCUMENT_MALFORMED"],
    ["an unknown method", () => zipOf([{ ...base, method: 99 }]), "DOCUMENT_MALFORMED"],
    ["another checksum", () => zipOf([{ ...base, crc: crc32(cda) ^ 1 }]), "DOCUMENT_MALFORMED"],
    ["a size that is too small", () => zipOf([{ ...base, size: cda.length - 1 }]), "DOCUMENT_MALFORMED"],
    ["a size that is too large", () => zipOf([{ ...base, size: cda.length + 1 }]), "DOCUMENT_MALFORMED"],
    ["an entry over the limit", () => zipOf([{ ...base, size: 64 * 1024 * 1024 + 1 }]), "TOO_LARGE"],
    [
      "many entries that are large together",
      () =>
        zipOf(
          Array.from({ length: 3 }, () => ({
            ...base,
            isStored: true,
            size: 60 * 1024 * 1024,
            packed: 60 * 1024 * 1024,
          })),
        ),
      "TOO_LARGE",
    ],
    [
      "257 entries",
      () => zipOf(Array.from({ length: 257 }, (_, n) => ({ name: `${n}`, content: text("x") }))),
      "TOO_LARGE",
    ],
    ["a bomb", () => zipOf([{ ...base, content: Buffer.alloc(16 * 1024 * 1024) }]), "TOO_LARGE"],
    ["deflate that is none", () => zipOf([{ ...base, data: text("not deflated at all") }]), "DOCUMENT_MALFORMED"],
    ["an entry elsewhere", () => zipOf([{ ...base, offset: 7 }]), "DOCUMENT_MALFORMED"],
  ])("%s", (_what, make, code) => {
    expect(() => readZip(make()).map((entry) => entry.read())).toThrow(expect.objectContaining({ code }));
  });

  test("flipped octets give entries or a typed fault, never anything else", () => {
    const archive = zipOf([base, { name: "x", content: deflateRawSync(cda) }]);
    fc.assert(
      fc.property(fc.nat(archive.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const broken = Buffer.from(archive);
        broken[at] = (broken[at] ?? 0) ^ flip;
        try {
          for (const entry of readZip(broken)) entry.read();
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Fault);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("in a message (carriage B)", () => {
  const message = (archive: Uint8Array): Uint8Array =>
    Buffer.from(
      `MSH|^~\\&|HIS|A|SEMRS|A|20260116||MDM^T02|Z1|P|2.5.1\rOBX|1|ED|||^application^zip^Base64^${Buffer.from(archive).toString("base64")}||||||F\r`,
    );
  const documentsOf = (archive: Uint8Array) => {
    const bytes = message(archive);
    return embeddedDocuments(bytes, readMsh(bytes));
  };
  test("CDA_ROOT.XML is the document, octet for octet; metadata and style sheets stay behind", () => {
    const found = documentsOf(
      zipOf([
        { name: "README.TXT", content: text("x") },
        { name: "IHE_XDM/SUBSET01/METADATA.XML", content: text("<x/>") },
        { name: "IHE_XDM/SUBSET01/CDA_ROOT.XML", content: cda },
        { name: "IHE_XDM/SUBSET01/SIGNATURE.XML", content: text("<Signature/>") },
        { name: "IHE_XDM/SUBSET01/CDA.XSL", content: text("<x/>") },
      ]),
    );
    // The signature is told, so that the message is kept whole.
    expect(found.map(({ kind }) => kind)).toEqual(["cda", "other"]);
    expect(Buffer.from(found[0]?.bytes ?? []).equals(cda)).toBe(true);
  });
  test("without that name, every XML that is no metadata", () => {
    const archive = zipOf([
      { name: "DOC00001.XML", content: cda },
      { name: "DOC00002.XML", content: documents["114"] },
      { name: "METADATA.XML", content: text("<x/>") },
    ]);
    expect(documentsOf(archive)).toHaveLength(2);
  });
  test("a PDF in the package is beside the document, as in a second OBX", () => {
    const found = documentsOf(
      zipOf([
        { name: "REPORT.PDF", content: text("%PDF-1.7 x") },
        { name: "CDA_ROOT.XML", content: cda },
      ]),
    );
    expect(found.map(({ kind }) => kind)).toEqual(["cda", "pdf"]);
  });
  test("a package without a document is refused with what is expected", () => {
    expect(() => documentsOf(zipOf([{ name: "README.TXT", content: text("x") }]))).toThrow(/CDA_ROOT\.XML is expected/);
  });
});

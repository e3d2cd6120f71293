/**
 * pydicom and DCMTK read what we keep and deliver: with `identity: original` equal to what was sent, with `identity: ours` apart from
 * the attributes of identity.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { part10Header, readMeta } from "../../formats/dicom.ts";
import { spliceIdentity } from "../../formats/dicom-splice.ts";
import { fixtures, peer } from "../peers.ts";

const run = promisify(execFile);
const folder = fixtures("dicom");
const [pydicom, dcmdump] = [peer("python3:pydicom"), peer("dcmdump")];
/** Not Part 10 files, or with UIDs missing: they are never stored. */
const unstored = /^(malformed|rtstruct-no-preamble|charset-empty)/;
const names = folder.available
  ? readdirSync(folder.path).filter((name) => name.endsWith(".dcm") && !unstored.test(name))
  : [];

/** Prints the last original attributes item of each pair, and fails on any other difference. */
const compare = `
import sys, warnings, logging
import pydicom
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
spliced = {0x00080050, 0x00100020, 0x00100021, 0x04000561}
def read(path):
    with open(path, "rb") as f: return pydicom.dcmread(f)
def plain(ds): return {e.tag: e for e in ds if int(e.tag) not in spliced}
before, after = read(sys.argv[1]), read(sys.argv[2])
one, other = plain(before), plain(after)
assert list(one) == list(other), set(one) ^ set(other)
for tag in one: assert one[tag] == other[tag], tag
assert before.file_meta == after.file_meta
item = after[0x0400, 0x0561].value[-1]
told = item[0x0400, 0x0550].value[0]
for tag in (0x00080050, 0x00100020, 0x00100021):
    was = before[tag].value if tag in before else None
    is_told = told[tag].value if tag in told else None
    assert (was or "") == (is_told or "") or tag not in told, tag
print(after.PatientID, after.get("IssuerOfPatientID"), item[0x0400, 0x0565].value, item[0x0400, 0x0562].value)
`;

/** The same elements with the same values, in the same syntax, and nothing else. */
const same = `
import sys, warnings, logging
import pydicom
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
for path in sys.argv[1:]:
    before, after = pydicom.dcmread(path + ".sent"), pydicom.dcmread(path)
    assert before == after and "SOPInstanceUID" in after, path
    assert before.file_meta.TransferSyntaxUID == after.file_meta.TransferSyntaxUID, path
    print(after.SOPInstanceUID)
`;

let out = "";
beforeAll(() => {
  out = mkdtempSync(join(tmpdir(), "semrs-splice-"));
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

async function spliced(name: string): Promise<string> {
  const file = join(out, name);
  const chunks: Uint8Array[] = [];
  const source = (async function* () {
    yield readFileSync(join(folder.path, name));
  })();
  const modifiedAt = new Date("2026-01-18T08:00:01Z");
  const identity = { patientId: "B990011", issuerOfPatientId: "HOSPB", accessionNumber: "" } as const;
  for await (const chunk of spliceIdentity(source, { ...identity, modifiedAt, modifyingSystem: "b", source: "a" }))
    chunks.push(chunk);
  writeFileSync(file, Buffer.concat(chunks));
  return file;
}

/** As all that are stored are kept and sealed: the data set as it came behind a header of ours. What was sent lies beside it. */
const kept = (): string[] =>
  names
    .filter((name) => name !== "charset-per-item.dcm")
    .map((name) => {
      const [sent, file] = [readFileSync(join(folder.path, name)), join(out, `kept-${name}`)];
      const { sopClassUid, sopInstanceUid, transferSyntaxUid, offset } = readMeta(sent);
      const header = part10Header(sopClassUid, sopInstanceUid, transferSyntaxUid);
      writeFileSync(`${file}.sent`, sent);
      writeFileSync(file, Buffer.concat([header, sent.subarray(offset)]));
      return file;
    });

describe.skipIf(!folder.available || !pydicom.available)(`pydicom ${folder.reason}${pydicom.reason}`, () => {
  test.for(names)("%s", async (name) => {
    const file = await spliced(name);
    const { stdout } = await run("/usr/bin/python3", ["-c", compare, join(folder.path, name), file]);
    expect(stdout.trim()).toBe("B990011 HOSPB COERCE 20260118080001+0000");
  });

  test("all as they came", async () => {
    const { stdout } = await run("/usr/bin/python3", ["-c", same, ...kept()]);
    expect(stdout.trim().split("\n")).toHaveLength(names.length - 1);
  });
});

describe.skipIf(!folder.available || !dcmdump.available)(`dcmdump ${folder.reason}${dcmdump.reason}`, () => {
  test.for(names)("%s", async (name) => {
    const file = await spliced(name);
    const search = ["+P", "0010,0020", "+P", "0010,0021", "+P", "0400,0565", "-s", "-ll", "error"];
    const { stdout } = await run("dcmdump", [...search, file]);
    expect(stdout).toMatch(/0010,0020\) LO \[B990011\][\s\S]*0010,0021\) LO \[HOSPB\]/);
    expect(stdout).toMatch(/0400,0565\) CS \[COERCE\]/);
  });

  test("all as they came", { timeout: 60_000 }, async () => {
    const dumped = async (file: string): Promise<string> => {
      const { stdout } = await run("dcmdump", ["-ll", "error", file], { maxBuffer: 2 ** 26 });
      return stdout.replace(/^[\s\S]*# Dicom-Data-Set/, "");
    };
    for (const file of kept()) {
      const after = await dumped(file);
      expect(after, file).toContain("(0008,0018)");
      expect(after, file).toBe(await dumped(`${file}.sent`));
    }
  });
});

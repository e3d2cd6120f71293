/** DCMTK's findscu and movescu: what they get from us, who answer no queries, and how an operator moves a study here with them. */
import { execFile } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { listening, stopAfterEach, stops } from "../connectors/dicom-listening.ts";
import { ctStudy, mrStudy } from "../fixtures/dicom.ts";
import { peer } from "../peers.ts";
import { dataSetSha256 } from "../sites.ts";
import { startOrthanc } from "./orthanc.ts";

stopAfterEach();

const env = { ...process.env, TCP_NODELAY: "1" };
const run = async (program: string, ...args: string[]): Promise<string> => {
  const { stdout, stderr } = await promisify(execFile)(program, args, { env });
  return stdout + stderr;
};
const study = ctStudy({ instancesPerSeries: 3, studyUid: "2.25.4712" });
const keys = ["-k", "0008,0052=STUDY", "-k", "0020,000d=2.25.4712"];

const dcmtk = peer("findscu");
describe.skipIf(!dcmtk.available)(`DCMTK ${dcmtk.reason}`, () => {
  test.each([
    ["findscu", ["-S"]],
    ["findscu", ["-P"]],
    ["movescu", ["-S", "-aem", "OPERATOR"]],
  ])("%s %j finds no presentation context accepted, and the next C-ECHO works", async (program, model) => {
    const port = String((await listening()).port);
    const asked = run(program, ...model, "-aec", "SEMRS_A", ...keys, "127.0.0.1", port);
    await expect(asked).rejects.toMatchObject({
      code: expect.any(Number),
      stderr: expect.stringContaining("No Acceptable Presentation Contexts"),
    });
    await run("echoscu", "-aec", "SEMRS_A", "127.0.0.1", port);
  });
});

const orthanc = peer("Orthanc");
describe.skipIf(!orthanc.available || !dcmtk.available)(`DCMTK beside Orthanc ${orthanc.reason}`, () => {
  test("storescu fills the archive, findscu names the study, movescu has it sent to our listener byte for byte", async () => {
    const { port, kept } = await listening();
    const archive = await startOrthanc(
      "PACS_A",
      { semrs: ["SEMRS_A", "127.0.0.1", port] },
      { DicomAlwaysAllowFind: true, DicomAlwaysAllowMove: true, DicomAlwaysAllowStore: true },
    );
    stops.push(() => archive.stop());
    const folder = mkdtempSync(join(tmpdir(), "semrs-operator-"));
    const files = [...study, ...mrStudy()].map(({ name, bytes }) => {
      writeFileSync(join(folder, name), bytes);
      return join(folder, name);
    });
    const at = ["-aec", "PACS_A", "127.0.0.1", String(archive.port)];
    await run("storescu", ...at, ...files);
    const named = await run("findscu", "-v", "-S", ...keys, "-k", "0020,1208", ...at);
    expect(named).toMatch(new RegExp(`\\(0020,1208\\) IS \\[${study.length} ?\\]`));
    expect(await run("movescu", "-v", "-S", "-aem", "SEMRS_A", ...keys, ...at)).not.toMatch(/^[EF]:/m);
    expect(kept).toEqual(new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])));
  });
});

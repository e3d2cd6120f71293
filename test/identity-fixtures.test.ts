/** `identity: ours` for third-party instances: at PACS B they differ in the spliced attributes alone. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readHead } from "../formats/dicom.ts";
import { factsOf } from "./fixtures/dicom-facts.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { admission, atPacs, dataSet, exchange, identifiedHouses, open, rest } from "./identified.ts";
import { fixtures } from "./peers.ts";
import { until } from "./sites.ts";

identifiedHouses();

const folder = fixtures("dicom");
const unsent = /^(malformed|charset-empty|charset-per-item|rtstruct-no-preamble)/;

describe.skipIf(!folder.available)(`third-party instances through whole houses ${folder.reason}`, () => {
  test("all that are stored differ at PACS B in the spliced attributes alone", { timeout: 120_000 }, async () => {
    await open();
    const files = readdirSync(folder.path)
      .filter((name) => name.endsWith(".dcm") && !unsent.test(name))
      .map((name) => readFileSync(join(folder.path, name)));
    const byUid = new Map(files.map((bytes) => [readHead(bytes).sopInstanceUid, bytes]));
    const outcomes = await exchange.instances([...byUid.values()]);
    expect([...outcomes.values()].map(({ state }) => state)).toEqual([...byUid].map(() => "delivered"));
    const studies = new Map<string, string>();
    for (const bytes of byUid.values()) {
      const { studyInstanceUid, patientId } = await factsOf(bytes);
      studies.set(studyInstanceUid, patientId ?? chen.chart);
    }
    for (const [index, [uid, chart]] of [...studies].entries()) {
      const extension = `THIRD.${index}`;
      const told = { uid, accession: "NONE", series: [], modality: "OT" };
      const named = { form: "116", extension, code: "18782-3", display: "x", title: "報告", body: "x" };
      const report = cda({ ...named, patient: { ...chen, chart }, study: told });
      await exchange.message(mdmFor(report, { controlId: extension, identifiers: `${chen.national}^^^MOI` }));
    }
    await exchange.registered(studies.size);
    // They are of many patients: an admission without birth date and sex contradicts none.
    await exchange.message(admission("ADT1", "", ""), "B_ADT");
    await until("all instances at PACS B", () => exchange.instancesAtB().size === byUid.size, 60_000);
    for (const [uid, bytes] of byUid) {
      const after = atPacs(uid);
      expect(rest(after), uid).toEqual(rest(dataSet(bytes)));
      expect(after.get(0x00100020)?.value.toString().trimEnd()).toBe("B990011");
      expect(after.get(0x04000561)?.items.length).toBe((dataSet(bytes).get(0x04000561)?.items.length ?? 0) + 1);
    }
  });
});

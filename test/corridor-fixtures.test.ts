/** Third-party documents and instances through whole houses: what travels arrives as it was sent, the rest is refused. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readCda } from "../formats/cda.ts";
import { factsOf } from "./fixtures/dicom-facts.ts";
import { adtFor, cda, chen, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { fixtures } from "./peers.ts";
import { dataSetSha256, openExchange, openHospitalA, sha256, testPki, until } from "./sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});

/** What the third-party documents get that break a hard rule (`null`: they travel). */
const refused: Readonly<Record<string, string>> = {
  "bad-declared-utf8-but-latin1.xml": "not well-formed",
  "bad-id-nullFlavor.xml": "no id",
  "bad-ipf-CDADocumentWithXXEInjection.xml": "DOCTYPE",
  "bad-no-recordTarget.xml": "no patient",
  "bad-truncated.xml": "not well-formed",
  "bad-two-recordTargets.xml": "two patients",
  "bad-two-roots.xml": "not well-formed",
  "bad-wrong-namespace.xml": "another root",
  "evil-billion-laughs.xml": "entity bomb",
  "evil-deep-5000.xml": "too deep",
  "evil-proto-key.xml": "no id",
  "evil-xinclude.xml": "no id",
  "evil-xxe-dtd-loopback.xml": "DOCTYPE",
  "evil-xxe-file.xml": "DOCTYPE",
  "hl7-cda-invalid-order.xml": "effectiveTime is no time",
  "hl7ex-Health_Concerns_Link_to_Problems_Section_C-CDA2.1_.xml": "not well-formed",
  "hl7ex-Intervention_Planned_Referral_and_Note_Completeting_Referral_C-CDAR2.1_.xml": "another root",
  "onc-maritalstatus.xml": "no id",
};

const cdaFolder = fixtures("cda");
const cdaFiles = cdaFolder.available ? readdirSync(cdaFolder.path).filter((name) => !name.endsWith(".md")) : [];

describe.skipIf(!cdaFolder.available)(`third-party documents, each in a fresh data folder ${cdaFolder.reason}`, () => {
  test.for(cdaFiles)("%s", async (name) => {
    const bytes = readFileSync(join(cdaFolder.path, name));
    const exchange = await (refused[name] === undefined ? openExchange : openHospitalA)(pki, { STUDY_WAIT: "100ms" });
    try {
      const outcome = await exchange.message(mdmFor(bytes, { controlId: "THIRD", identifiers: "X^^^NOBODY" }));
      if (refused[name] !== undefined) {
        expect(outcome).toMatchObject({ state: "refused", detail: "AE 102" });
        return;
      }
      expect(outcome).toMatchObject({ state: "delivered" });
      await exchange.registered(1);
      const [id] = readCda(bytes).patientIds;
      const identifier = id?.extension ? `${id.extension.replaceAll("&", "\\T\\")}^^^&${id.root}&ISO` : `${id?.root}`;
      await exchange.message(adtFor(identifier, { controlId: "ADTX" }), "B_ADT");
      await until("the document at HIS B", () => exchange.documentsAtB().size === 1);
      expect(exchange.documentsAtB()).toEqual(new Set([sha256(bytes)]));
    } finally {
      await exchange.close();
    }
  });
});

/** What the third-party instances get that are not stored. */
const notStored: Readonly<Record<string, string>> = {
  "charset-empty.dcm": "not sent: no UIDs in its meta information",
  "charset-per-item.dcm": "C000: no SOP UIDs",
  "malformed-bad-meta.dcm": "not sent",
  "malformed-bad-sequence.dcm": "C000: no SOP Instance UID",
  "malformed-bad-vr.dcm": "C000: a value representation that does not exist",
  "malformed-j2k-too-short.dcm": "C000: truncated",
  "malformed-meta-no-ts.dcm": "not sent",
  "malformed-no-group-length.dcm": "not sent",
  "malformed-no-meta.dcm": "not sent",
  "malformed-no-uids-nested-private-sq.dcm": "not sent",
  "malformed-rtplan-truncated.dcm": "C000: truncated",
  "malformed-truncated-pixeldata.dcm": "C000: truncated",
  "rtstruct-no-preamble.dcm": "not sent: not a Part 10 file",
  DICOMDIR: "C000 or not negotiated: a media directory",
};

const dicomFolder = fixtures("dicom");
const dicomFiles = dicomFolder.available ? readdirSync(dicomFolder.path).filter((name) => !name.endsWith(".md")) : [];

describe.skipIf(!dicomFolder.available)(
  `third-party instances, each in a fresh data folder ${dicomFolder.reason}`,
  () => {
    test.for(dicomFiles)("%s", async (name) => {
      const bytes = readFileSync(join(dicomFolder.path, name));
      const exchange = await (notStored[name] === undefined ? openExchange : openHospitalA)(pki);
      try {
        const outcome = await exchange.instances([bytes]).then(
          (outcomes) => [...outcomes.values()][0]?.state,
          () => "not sent",
        );
        if (notStored[name] !== undefined) {
          expect(outcome).not.toBe("delivered");
          const { items } = await exchange.admin("hospital-a").get<{ items: Record<string, number> }>("/counts");
          expect(items).toEqual({});
          return;
        }
        expect(outcome).toBe("delivered");
        const { sopInstanceUid, studyInstanceUid, patientId } = await factsOf(bytes);
        const report = cda({
          form: "116",
          extension: "THIRD.1",
          patient: { ...chen, chart: patientId ?? chen.chart },
          code: "18782-3",
          display: "x",
          title: "報告",
          study: { uid: studyInstanceUid, accession: "NONE", series: [], modality: "OT" },
          body: "x",
        });
        expect(
          await exchange.message(mdmFor(report, { controlId: "THIRD", identifiers: `${chen.national}^^^MOI` })),
        ).toMatchObject({ state: "delivered" });
        await exchange.registered(1);
        await exchange.message(sampleMessage("adt-a01"), "B_ADT");
        await until("the instance at PACS B", () => exchange.instancesAtB().size === 1);
        expect(exchange.instancesAtB()).toEqual(new Map([[sopInstanceUid, dataSetSha256(bytes)]]));
      } finally {
        await exchange.close();
      }
    });
  },
);

/** Orthanc as PACS A and as PACS B, over TLS with certificates of their own: storage commitment is asked of us, and of it as proof. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ports } from "../../commands/demo/ports.ts";
import type { Traced } from "../../commands/journal/trace.ts";
import { initPki } from "../../commands/pki/index.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Orthanc, startOrthanc } from "./orthanc.ts";

const orthanc = peer("Orthanc");
const study = ctStudy({ instancesPerSeries: 3 });
let pki: string;
const stops: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  pki = await testPki();
  await initPki(pki, ["pacs-a", "pacs-b"], { now: new Date() });
});
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** Knows us by our AE title and certificate alone, and is known by its own. */
async function started(name: "pacs-a" | "pacs-b", ours: { AET: string; Port: number }): Promise<Orthanc> {
  const tls = {
    DicomTlsEnabled: true,
    DicomTlsPrivateKey: `${pki}/${name}/tls.key`,
    DicomTlsCertificate: `${pki}/${name}/tls.crt`,
    DicomTlsTrustedCertificates: `${pki}/ca.crt`,
    DicomTlsRemoteCertificateRequired: true,
    DicomAlwaysAllowStore: false,
  };
  const pacs = await startOrthanc(name === "pacs-a" ? "PACS_A" : "PACS_B", {}, tls);
  stops.push(pacs.stop);
  await pacs.rest("/modalities/semrs", { ...ours, Host: "127.0.0.1", UseDicomTls: true });
  return pacs;
}

/** Orthanc asks us once it has sent all: what it has been reported. */
async function sentWithCommitment(pacs: Orthanc): Promise<unknown> {
  const asked = { Resources: await pacs.rest("/studies"), StorageCommitment: true, Synchronous: true };
  const told = (await pacs.rest("/modalities/semrs/store", asked, "POST")) as {
    StorageCommitmentTransactionUID: string;
  };
  let report: { Status?: string } = {};
  await until("we have reported", async () => {
    report = (await pacs.rest(`/storage-commitment/${told.StorageCommitmentTransactionUID}`)) as typeof report;
    return report.Status !== "Pending";
  });
  return report;
}

async function* items(): AsyncGenerator<DicomItem> {
  for (const { bytes } of study) yield dicomItem(bytes);
}

describe.skipIf(!orthanc.available)(`Orthanc ${orthanc.reason}`, () => {
  test("commits to what it sends on our word, and a study is delivered on its own", { timeout: 90_000 }, async () => {
    const { A_PACS = "", B_IN = "" } = await ports(["A_PACS", "B_IN"]);
    const a = await started("pacs-a", { AET: "SEMRS_A", Port: Number(A_PACS) });
    const b = await started("pacs-b", { AET: "SEMRS_B", Port: Number(B_IN) });
    const called = (port: number, title: string) => `connect: "localhost:${port}", calledAeTitle: ${title}, tls: {}`;
    const callers = (title: string, subject: string) => `callers: [{ aeTitle: ${title}, subject: ${subject} }]`;
    const exchange: TestExchange = await openExchange(pki, { A_PACS, QUIET: "10m" }, (yaml) =>
      yaml
        .replace(
          /aeTitle: SEMRS_A, callers: \[\]/,
          `aeTitle: SEMRS_A, ${callers("PACS_A", "pacs-a")}, ${called(a.port, "PACS_A")}`,
        )
        .replace(
          /dicom: \{ connect: .*aeTitle: SEMRS_B, calledAeTitle: PACS_B/,
          `dicom: { listen: "127.0.0.1:${B_IN}", ${callers("PACS_B", "pacs-b")}, aeTitle: SEMRS_B, proof: commitment, ${called(b.port, "PACS_B")}`,
        )
        .replaceAll(/identity: original, because: "[^"]*"/g, "identity: ours"),
    );
    stops.push(exchange.close);
    const read = (file: string): string => readFileSync(`${pki}/${file}`, "utf8");
    const tls = {
      key: read("hospital-a/tls.key"),
      certificate: read("hospital-a/tls.crt"),
      ca: read("ca.crt"),
      clientCertificate: "require",
    };
    const to = { host: "localhost", port: a.port, callingAeTitle: "SEMRS_A", calledAeTitle: "PACS_A", tls };
    const context = { log: () => undefined, signal: new AbortController().signal };
    await dicomDestination.send(dicomDestination.options.parse(to), items(), () => undefined, context);

    const committed = study.map(({ sopInstanceUid }) => sopInstanceUid).sort();
    const report = (await sentWithCommitment(a)) as { Success: readonly { SOPInstanceUID: string }[] };
    expect(report).toMatchObject({ Status: "Success", Failures: [] });
    expect(report.Success.map(({ SOPInstanceUID }) => SOPInstanceUID).sort()).toEqual(committed);

    await exchange.message(sampleMessage("mdm-t02-116"));
    await exchange.registered(1);
    await exchange.message(sampleMessage("adt-a01"), "B_ADT");
    const proven = () =>
      exchange.log.find(
        ({ site, event, fields }) => site === "hospital-b" && event === "deliver.delivered" && fields.peer === "pacs",
      );
    await until("the study delivered", () => proven() !== undefined, 40_000);
    expect(await b.held()).toBe(study.length);
    const { steps } = await exchange.admin("hospital-b").get<Traced>(`/trace/${proven()?.fields.message}`);
    expect(steps.map(({ detail }) => detail)).toContain(`${study.length} × 0000, commitment`);
  });
});

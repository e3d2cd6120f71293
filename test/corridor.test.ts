/** The whole story: bytes at HIS B and PACS B equal the bytes at HIS A and PACS A. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { embeddedDocuments, readMsh } from "../formats/hl7.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor, sampleMessage, sampleMessages } from "./fixtures/documents.ts";
import { dataSetSha256, openExchange, sha256, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});

describe("every own fixture arrives as it was sent", () => {
  let exchange: TestExchange;
  beforeAll(async () => {
    exchange = await openExchange(pki);
  });
  afterAll(() => exchange.close());

  test("documents of all forms in every carriage, and the studies they refer to", async () => {
    const messages = sampleMessages();
    const study = [...ctStudy(), ...encapsulatedPdf(), ...multiFrame(), ...mrStudy()];
    const expected = new Set<string>();
    for (const message of messages) {
      expect(await exchange.message(message)).toMatchObject({ state: "delivered" });
      for (const { kind, bytes } of embeddedDocuments(message, readMsh(message)))
        if (kind === "cda") expected.add(sha256(bytes));
    }
    expect(expected.size).toBe(7);
    for (const outcome of (await exchange.instances(study.map(({ bytes }) => bytes))).values())
      expect(outcome.state).toBe("delivered");
    await exchange.registered(expected.size);
    expect(await exchange.message(sampleMessage("adt-a01"), "B_ADT")).toMatchObject({ state: "delivered" });
    expect(await exchange.message(sampleMessage("adt-a01-second"), "B_ADT")).toMatchObject({ state: "delivered" });
    await until("all documents at HIS B", () => exchange.documentsAtB().size >= expected.size);
    expect(exchange.documentsAtB()).toEqual(expected);
    await until("all instances at PACS B", () => exchange.instancesAtB().size >= study.length);
    expect(exchange.instancesAtB()).toEqual(
      new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
    );
    await until("every record delivered and receipted at A", async () => {
      const records = await exchange
        .admin("hospital-a")
        .get<readonly { receipts: readonly { kind: string; from: string }[] }[]>("/records");
      return records.every(({ receipts }) =>
        receipts.some(({ kind, from }) => kind === "delivered" && from === "hospital-b"),
      );
    });
  });
});

describe("what waits and what follows", () => {
  let exchange: TestExchange;
  beforeAll(async () => {
    exchange = await openExchange(pki);
  });
  afterAll(() => exchange.close());

  test("a study that no document refers to waits at A, and travels with its report when that comes", async () => {
    const study = ctStudy({ instancesPerSeries: 2 });
    await exchange.instances(study.map(({ bytes }) => bytes));
    const { items } = await exchange
      .admin("hospital-a")
      .get<{ items: readonly { kind: string; state: string; count: number }[] }>("/journal");
    expect(items).toMatchObject([{ kind: "instance", state: "waiting", count: study.length }]);
    await exchange.message(sampleMessage("mdm-t02-116"));
    await exchange.registered(1);
    await exchange.message(sampleMessage("adt-a01"), "B_ADT");
    await until("instances at PACS B", () => exchange.instancesAtB().size === study.length);
  });

  test("images that come after their document went follow as an addendum", async () => {
    const late = ctStudy({ instancesPerSeries: 1, first: 50 });
    await exchange.instances(late.map(({ bytes }) => bytes));
    await exchange.registered(2);
    await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADTLATE" }), "B_ADT");
    await until("late instances at PACS B", () =>
      late.every(({ sopInstanceUid }) => exchange.instancesAtB().has(sopInstanceUid)),
    );
    expect(exchange.documentsAtB().size).toBe(1);
  });

  test("the same message again is answered the same and delivered once; the same document in another message is dropped", async () => {
    const before = await exchange.admin("hospital-a").get<{ items: Record<string, number> }>("/counts");
    expect(await exchange.message(sampleMessage("mdm-t02-116"))).toMatchObject({ state: "delivered" });
    const [document] = embeddedDocuments(sampleMessage("mdm-t02-116"), readMsh(sampleMessage("mdm-t02-116")));
    expect(await exchange.message(mdmFor(document?.bytes ?? new Uint8Array(), { controlId: "AGAIN" }))).toMatchObject({
      state: "delivered",
    });
    expect((await exchange.admin("hospital-a").get<{ items: Record<string, number> }>("/counts")).items).toEqual(
      before.items,
    );
  });

  test("a study of another patient holds the record until a person releases or discards it", async () => {
    const study = ctStudy({ instancesPerSeries: 1, studyUid: "2.25.777", patientId: "0099999", accession: "ACC777" });
    await exchange.instances(study.map(({ bytes }) => bytes));
    const report = cda({
      form: "116",
      extension: "MISMATCH.1",
      patient: chen,
      code: "18782-3",
      display: "x",
      title: "報告",
      study: { uid: "2.25.777", accession: "ACC777", series: [], modality: "CT" },
      body: "x",
    });
    await exchange.message(mdmFor(report, { controlId: "MISMATCH" }));
    const held = async () => {
      const { items } = await exchange
        .admin("hospital-a")
        .get<{ items: readonly { id: string; kind: string; state: string; code: string }[] }>("/journal");
      return items.find(({ kind, state }) => kind === "document" && state === "held");
    };
    await until("the document held", async () => (await held()) !== undefined);
    const document = await held();
    expect(document?.code).toBe("PATIENT_MISMATCH");
    await exchange.admin("hospital-a").post(`/journal/${document?.id}/discard`, { reason: "wrong patient" });
    expect(await held()).toBeUndefined();
  });

  test("a message whose PID names another patient than its document is refused, and so is a document that breaks a rule", async () => {
    const report = cda({
      form: "113",
      extension: "OTHER.1",
      patient: chen,
      code: "11502-2",
      display: "x",
      title: "報告",
      body: "x",
    });
    expect(
      await exchange.message(mdmFor(report, { controlId: "PIDX", identifiers: "A199999999^^^MOI^NI" })),
    ).toMatchObject({ state: "refused", detail: "AE 204" });
    expect(await exchange.message(mdmFor(Buffer.from("<ClinicalDocument/>"), { controlId: "BAD" }))).toMatchObject({
      state: "refused",
      detail: "AE 102",
    });
  });
});

describe("other ways to begin", () => {
  test("a program asks for a patient on the admin port, with its token alone", async () => {
    const exchange = await openExchange(pki);
    try {
      await exchange.message(sampleMessage("oru-r01-113"));
      await exchange.registered(1);
      const body = { patientIds: [{ root: "2.16.886.101.20003.20001", extension: chen.national }] };
      const bare = await fetch(`http://127.0.0.1:${exchange.env.B_ADMIN}/fetch`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      });
      expect(bare.status).toBe(401);
      await exchange.admin("hospital-b").post("/fetch", body);
      await until("the document at HIS B", () => exchange.documentsAtB().size === 1);
    } finally {
      await exchange.close();
    }
  });

  test("a channel that routes to a partner pushes to it, and what arrives twice is delivered once", async () => {
    const exchange = await openExchange(pki, {}, (yaml) =>
      yaml.replaceAll("route: [repository]", "route: [repository, hospital-b]"),
    );
    try {
      const study = ctStudy({ instancesPerSeries: 2 });
      await exchange.instances(study.map(({ bytes }) => bytes));
      await exchange.message(sampleMessage("mdm-t02-116"));
      await until(
        "document and images at B, though nobody was admitted",
        () => exchange.documentsAtB().size === 1 && exchange.instancesAtB().size === study.length,
      );
      await exchange.registered(1);
      await exchange.message(sampleMessage("adt-a01"), "B_ADT");
      await until(
        "the admission was answered",
        () => exchange.log.filter(({ event }) => event === "fetch.answered").length >= 2,
      );
      await until(
        "both deliveries are settled",
        () => exchange.log.filter(({ event }) => event === "deliver.delivered").length === 2,
      );
      await until("A holds B's proof of delivery", () =>
        exchange.log.some(({ event }) => event === "repository.receipted"),
      );
    } finally {
      await exchange.close();
    }
  });
});

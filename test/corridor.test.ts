/** The whole story: bytes at HIS B and PACS B equal the bytes at HIS A and PACS A. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCda } from "../formats/cda.ts";
import { embeddedDocuments, readMsh } from "../formats/hl7.ts";
import { dataSetSha256, openExchange, sha256, type TestExchange, testPki, until } from "./exchange.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame, type SampleInstance } from "./fixtures/dicom.ts";
import { adtFor, mdmFor, sampleMessage, sampleMessages } from "./fixtures/documents.ts";
import { fixtures } from "./peers.ts";

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

  test("documents of all forms, and the studies they refer to", async () => {
    const messages = sampleMessages();
    const study: SampleInstance[] = [...ctStudy(), ...mrStudy()];
    const expected = new Set<string>();
    for (const message of messages) {
      expect(await exchange.message(message)).toMatchObject({ state: "delivered" });
      for (const { kind, bytes } of embeddedDocuments(message, readMsh(message)))
        if (kind === "cda") expected.add(sha256(bytes));
    }
    for (const outcome of (await exchange.instances(study.map(({ bytes }) => bytes))).values())
      expect(outcome.state).toBe("delivered");
    await until("all records registered", async () => {
      const { records } = await exchange.admin("hospital-a").get<{ records: Record<string, number> }>("/counts");
      return (records["registered"] ?? 0) === expected.size;
    });
    expect(await exchange.message(sampleMessage("adt-a01"), "B_ADT")).toMatchObject({ state: "delivered" });
    expect(await exchange.message(sampleMessage("adt-a01-second"), "B_ADT")).toMatchObject({ state: "delivered" });
    await until("all documents at HIS B", () => exchange.documentsAtB().size >= expected.size);
    expect(exchange.documentsAtB()).toEqual(expected);
    await until("all instances at PACS B", () => exchange.instancesAtB().size >= study.length);
    expect(exchange.instancesAtB()).toEqual(
      new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
    );
  });
});

/** What a channel's grades make of a document at a running house: the answer, what is held, and the step of the journal. */
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { exchanges } from "./exchanges.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { fixtures } from "./peers.ts";

const { available, path: schemas, reason } = fixtures("cda-schema");
const open = exchanges();

const secret = "王小明 A123456789";
const report = (extension: string, change: (text: string) => string = (text) => text): Uint8Array =>
  Buffer.from(
    change(
      Buffer.from(
        cda({ form: "113", extension, patient: chen, code: "11502-2", display: "d", title: "t", body: secret }),
      ).toString("utf8"),
    ),
  );
/** The document channel with these grades instead of its own. */
const graded =
  (grades: string) =>
  (yaml: string): string =>
    yaml.replace(
      "validate: { document: { rules: reject, schema: skip, patient: reject } }",
      () => `validate: { document: { ${grades} } }`,
    );

async function sent(grades: string, bytes: Uint8Array) {
  const at = await open({}, graded(grades));
  const ack = await answered(Number(at.env.A_HIS), mdmFor(bytes, { controlId: "V1" }));
  const traced = await at.admin("hospital-a").get<Traced>("/trace/V1");
  expect(JSON.stringify([ack, traced, at.log])).not.toMatch(/王小明|A123456789/);
  return { ack, traced, log: at.log };
}
/** The acknowledgement as text. */
async function answered(port: number, message: Uint8Array): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.end(Buffer.concat([Buffer.of(0x0b), message, Buffer.of(0x1c, 0x0d)]));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
const validateStep = (traced: Traced) => traced.steps.find(({ station }) => station === "validate");
const untitled = report("V.1", (text) => text.replace(/<title>t<\/title>/, ""));
const unnamed = report("V.2", (text) => text.replace(/<birthTime[^>]*>/, ""));
const misplaced = report("V.3", (text) => text.replace(/<recordTarget/, "<realmCode code='TW'/><recordTarget"));

describe("rules of one's sets", () => {
  test("CDA_RULE: reject answers AE with the rule and its place", async () => {
    const { ack, traced } = await sent("rules: reject, ruleSets: [eec-113]", unnamed);
    expect(ack).toMatch(/MSA\|AE\|V1/);
    expect(ack).toMatch(/ERR\|.*eec-header\/patient-birth: the patient has no birth time \(line 2, column 136/);
    expect(traced.arrivals[0]).toMatchObject({ state: "refused", code: "CDA_RULE" });
  });
  test("hold keeps it for a person", async () => {
    const { ack, traced } = await sent("rules: hold, ruleSets: [eec-113]", unnamed);
    expect(ack).toMatch(/MSA\|AA\|V1/);
    expect(traced.documents[0]).toMatchObject({ state: "held", code: "CDA_RULE" });
    expect(validateStep(traced)).toMatchObject({
      event: "held",
      code: "CDA_RULE",
      detail: expect.stringMatching(/^CDA_RULE eec-header\/patient-birth 2:136 \/ClinicalDocument/),
    });
  });
  test("warn notes it, and the document goes on", async () => {
    const { traced, log } = await sent("rules: warn, ruleSets: [eec-113]", unnamed);
    expect(validateStep(traced)).toMatchObject({ event: "validated", detail: expect.stringContaining("2:136") });
    expect(log.some(({ event, fields }) => event === "validate.warned" && fields.code === "CDA_RULE")).toBe(true);
  });
  test("a warning of a rule is never more than noted; skip asks nothing", async () => {
    const { ack, traced } = await sent("rules: reject, ruleSets: [cda-r2-header]", untitled);
    expect(ack).toMatch(/MSA\|AA\|V1/);
    expect(validateStep(traced)?.detail).toContain("cda-r2-header/title");
    const skipped = await sent("rules: skip, ruleSets: [cda-r2-header]", untitled);
    expect(validateStep(skipped.traced)).toMatchObject({ event: "validated", detail: null });
  });
});

describe.skipIf(!available)(`the XML Schema ${reason}`, () => {
  test("CDA_SCHEMA: reject answers AE with the place, a document that keeps it goes on", async () => {
    const grades = `schema: reject, schemas: "${schemas}"`;
    const { ack, traced } = await sent(grades, misplaced);
    expect(ack).toMatch(/MSA\|AE\|V1[\s\S]*ERR\|.*schema\/element: an element that is not expected here/);
    expect(traced.arrivals[0]).toMatchObject({ state: "refused", code: "CDA_SCHEMA" });
    const { ack: taken, traced: kept } = await sent(grades, report("V.4"));
    expect(taken).toMatch(/MSA\|AA\|V1/);
    expect(validateStep(kept)).toMatchObject({ event: "validated", detail: null });
  });
  test.each([
    ["hold", "held"],
    ["warn", "validated"],
  ])("%s: the step says %s, and where", async (grade, event) => {
    const { traced } = await sent(`schema: ${grade}, schemas: "${schemas}"`, misplaced);
    expect(validateStep(traced)).toMatchObject({ event, detail: expect.stringContaining("CDA_SCHEMA schema/element") });
  });
});

test("a house with a rule file or a schema that is wrong does not start", async () => {
  const at = await open();
  const rules = join(at.folder, "mine.yaml");
  writeFileSync(rules, "basedOn: us\nrules:\n  - { id: a, test: 'h:title[', message: m }\n");
  await expect(open({}, graded(`ruleSets: ["${rules}"]`))).rejects.toThrow(`${rules}:3:`);
  await expect(open({}, graded("schema: warn, schemas: nowhere"))).rejects.toThrow("CONFIG_SCHEMA");
  await expect(open({}, graded("schema: warn"))).rejects.toThrow("warn needs schemas, a folder");
});

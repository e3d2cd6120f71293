/** The schema of channels.test.yaml: what is sent to which system, and what must become of it. */
import { z } from "zod";
import { Fault } from "../../errors.ts";
import { type ConfigFile, readConfigFile } from "../../pipeline/config-file.ts";
import { findingText } from "../../pipeline/config-findings.ts";
import { keysOf, problemsOf } from "../../pipeline/config-schema-problems.ts";
import { duration, lasting, messageType, name } from "../../pipeline/config-values.ts";

/** `his`, a system of the test's site, or `hospital-b/his`. */
const systemName = z.string().regex(/^([a-z][a-z0-9-]*\/)?[a-z][a-z0-9-]*$/, "write a system, or site/system");
const field = z.string().regex(/^[A-Z][A-Z0-9]{2}-\d{1,3}$/, "a field is SEG-n, for example TXA-12");

const answer = z
  .strictObject({
    ack: z.enum(["AA", "AE", "AR", "CA", "CE", "CR"]).optional().describe("MSA-1."),
    error: z.string().optional().describe("Error code in ERR-8, for example CDA_INVALID."),
    err: z.string().optional().describe("ERR-3, for example 102."),
    status: z
      .string()
      .regex(/^[0-9A-F]{4}$/)
      .optional()
      .describe("C-STORE status of every instance, for example 0000."),
  })
  .describe("What the system is answered.");

const sending = z.strictObject({
  to: systemName.describe("The system of ours that it is sent to."),
  files: z
    .array(z.string().min(1))
    .min(1)
    .max(1000)
    .describe("HL7 v2 messages or DICOM files, relative to this file; * is a wildcard."),
  set: z.record(field, z.string()).default({}).describe("Fields of the message that are replaced before it is sent."),
  expect: answer.optional(),
});

const delivered = z.strictObject({
  to: systemName.describe("The system it is delivered to."),
  message: messageType.optional().describe("Its message type."),
  fields: z.record(field, z.string()).default({}).describe("Fields of that message."),
  instances: z.int().min(0).optional().describe("How many instances, octet for octet those that were sent."),
  document: z.enum(["identical"]).optional().describe("The document in it is octet for octet the one that was sent."),
});

const expectations = z.strictObject({
  channel: name.nullable().optional().describe("The channel that took it; null: none."),
  findings: z.array(z.string()).optional().describe("Codes in the journal, all of them."),
  held: z.string().nullable().optional().describe("Code under which it is held; null: it is not."),
  entry: z.record(z.string(), z.unknown()).optional().describe("Values of the document entry that is registered."),
  assembled: z
    .strictObject({ instances: z.int().min(0) })
    .optional()
    .describe("What travels with the document."),
  opensFor: z.array(name).optional().describe("Houses that an envelope of it was sealed for."),
  routed: z.array(name).optional().describe("Registry and partners that signed for it."),
  delivered: z.array(delivered).optional().describe("What systems received; all of it where the list is empty."),
  neverInClear: z
    .array(z.string().min(2))
    .optional()
    .describe("Text that is in no file, log line, metric or journal of any site."),
});

const test = z.strictObject({
  name: z.string().min(1).describe("What must be true, as a sentence."),
  site: name.optional().describe("The house it is about; default: the one of the file."),
  referenced: z
    .record(
      z.string().refine((text) => /^https?:/.test(text) && URL.canParse(text), "an https: or http: address"),
      z.string().min(1),
    )
    .default({})
    .describe("What messages refer to, address and file (relative to this one); under any other address is nothing."),
  send: z.union([z.array(sending).min(1), sending.transform((one) => [one])]).describe("What is sent, in order."),
  expect: expectations.prefault({}).describe("What must become of it."),
  within: lasting("8s", "How long it may take."),
});

export const testSchema = z.strictObject({
  config: z.string().default("channels.yaml").describe("The configuration, relative to this file."),
  site: name.optional().describe("The house that tests are about; default: the file's own."),
  environment: z.record(z.string(), z.string()).default({}).describe("Variables for the configuration."),
  times: z
    .strictObject({
      quiet: lasting("200ms", "assemble.study.quiet."),
      wait: lasting("1s", "assemble.study.wait."),
      again: z.array(duration).default([300, 900]).describe("fetch.when.again."),
      retry: lasting("200ms", "delivery.retry.first."),
    })
    .prefault({})
    .describe("Waiting times while testing, for all channels."),
  tests: z.array(test).min(1).max(1000).describe("The tests."),
});

export type TestFile = z.output<typeof testSchema>;
export type Test = TestFile["tests"][number];
export type Sending = Test["send"][number];
export type Expectations = Test["expect"];
export type Delivered = z.output<typeof delivered>;

/** CONFIG_INVALID with one line a problem, or the tests with the places of their lines. */
export function readTests(path: string, name: string): { readonly file: TestFile; readonly source: ConfigFile } {
  const source = readConfigFile(path, name, process.env);
  const parsed = testSchema.safeParse(source.value, { reportInput: true });
  const problems =
    parsed.success || source.value === undefined ? [] : problemsOf(parsed.error.issues, keysOf([testSchema]));
  const findings = [...source.findings, ...problems.map(source.finding)];
  if (findings.length > 0 || !parsed.success) throw new Fault("CONFIG_INVALID", findings.map(findingText).join("\n"));
  return { file: parsed.data, source };
}

/** Broken MLLP streams and HL7 messages from seeds: the framer never depends on how a stream is cut, the reader fails with typed faults alone. */
import { expect, test } from "vitest";
import { frameOf, openFramer } from "../connectors/mllp/framer.ts";
import {
  acksOf,
  buildAck,
  buildBatchAnswer,
  documentEvent,
  embeddedDocuments,
  fieldsOf,
  findingsOf,
  isBatch,
  patientIdentifiers,
  payloadlessFrame,
  readBatch,
  readMsh,
  readMshLine,
  segments,
  unescapeText,
} from "../formats/hl7.ts";
import { adtFor, documents, mdmFor } from "./fixtures/documents.ts";
import { broken, type Chance, fuzz, fuzzSeconds, typed } from "./seeded.ts";

/** Seeds that found something. */
const kept: readonly number[] = [1, 20_241, 777_001];
const timeout = (fuzzSeconds + 60) * 1000;
const framing = [0x0b, 0x1c, 0x0d, 0x0a, 0x00, 0x1b];
const separating = [...Buffer.from("|^~\\&\r\n"), 0x1b, 0x80, 0xff, 0xa5, 0x5c];

const carriages = (["base64", "text", "multipart"] as const).map((carriage) =>
  Buffer.from(mdmFor(documents["113"], { controlId: "1", carriage })),
);
const adt = Buffer.from(adtFor("A1^^^MOI^NI~X2^^^&1.2.3&ISO"));
const inCharset = (name: string): Buffer =>
  Buffer.from(adt.toString("latin1").replace(/^((?:[^|\r]*\|){11}[^|\r]*)/, `$1||||||${name}`), "latin1");
const batch = Buffer.concat([Buffer.from("FHS|^~\\&|A\rBHS|^~\\&|A\r"), adt, adt, Buffer.from("BTS|2\rFTS|1\r")]);
const messages = [
  ...carriages,
  adt,
  batch,
  ...["BIG-5", "SHIFT-JIS", "ASCII~ISO IR87", "GB 18030-2000", "UNICODE"].map(inCharset),
];

test(
  "the framer: the same frames however the stream is cut, and never two messages in one",
  async () => {
    const byLf = Buffer.from(Buffer.concat([adt, adt]).toString("latin1").replaceAll("\r", "\n"), "latin1");
    const stream = Buffer.concat([adt, batch, byLf, adt].map(frameOf));
    const framesOf = (bytes: Buffer, piece: () => number): readonly string[] => {
      const framer = openFramer(64 * 1024);
      const frames: string[] = [];
      for (let at = 0; at < bytes.length; ) {
        const size = piece();
        for (const frame of framer.push(bytes.subarray(at, at + size))) {
          if (frame.kind === "oversize") return [...frames, "oversize"];
          frames.push(`${frame.kind} ${Buffer.from(frame.bytes).toString("hex")}`);
        }
        at += size;
      }
      return [...frames, ...framer.end().map((frame) => frame.kind)];
    };
    const runs = await fuzz((random: Chance) => {
      const changed = broken(stream, framing, random);
      const whole = framesOf(changed, () => changed.length);
      expect(framesOf(changed, () => 1 + random(40))).toEqual(whole);
      for (const frame of whole.filter((each) => each.startsWith("message 4d5348"))) {
        const text = Buffer.from(frame.slice(8), "hex").toString("latin1");
        for (const head of ["\rMSH", `\nMSH${text.charAt(3)}`]) expect(text.includes(head)).toBe(false);
      }
    }, kept);
    expect(runs).toBeGreaterThan(100);
  },
  timeout,
);

test(
  "the reader: what it takes it can answer, and what it does not is a typed fault",
  async () => {
    const now = new Date("2026-01-02T03:04:05Z");
    const runs = await fuzz(async (random: Chance) => {
      const bytes = broken(messages[random(messages.length)] ?? adt, separating, random);
      // Whatever came gets an answer that is one message with one MSA, whose segments end in CR.
      const facts = readMshLine(bytes);
      const ack = Buffer.from(
        buildAck(facts, { code: "AE", controlId: "C", now, errors: [{ code: "100", text: "x" }] }),
      );
      expect(
        ack
          .toString("latin1")
          .split("\r")
          .map((line) => line.slice(0, 3)),
      ).toEqual(["MSH", "MSA", "ERR", ""]);
      if (isBatch(bytes)) {
        await typed(() => {
          const { messages: each, head } = readBatch(bytes);
          expect(each.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(bytes.length);
          buildBatchAnswer(head, [], { id: "C", time: "2026" });
        });
      }
      await typed(() => {
        const read = readMsh(bytes);
        acksOf(read);
        findingsOf(bytes, read);
        documentEvent(read, bytes);
        for (const segment of segments(bytes)) for (const field of fieldsOf(segment, read)) unescapeText(field, read);
      });
      for (const work of [patientIdentifiers, payloadlessFrame, embeddedDocuments])
        await typed(() => void work(bytes, readMsh(bytes)));
    }, kept);
    expect(runs).toBeGreaterThan(100);
  },
  timeout,
);

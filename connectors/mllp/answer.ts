/** What is answered to one frame: acknowledgements by MSH-15/16, in the order in which they become due. */
import { codeOf, consequenceOf, type ErrorCode, reasonOf } from "../../errors.ts";
import {
  type AckCode,
  acksOf,
  buildAck,
  buildBatchAnswer,
  hl7Time,
  isBatch,
  readBatch,
  readMshLine,
} from "../../formats/hl7.ts";
import type { Deliver, Verdict } from "../connector.ts";
import type { Frame } from "./framer.ts";

export type Taken = Exclude<Frame, { kind: "oversize" }>;
export type Answering = {
  readonly peer: string;
  /** `from-msh-18`, or a name that overrides it. */
  readonly charset: string;
  /** MLLP release: 2 answers a frame with a commit byte first. */
  readonly release: 1 | 2;
  readonly deliver: Deliver;
  /** Something about the frame that a person should know. */
  warn(reason: string): void;
};

/** Messages of a batch that are under way at once. */
const batchWindow = 16;
const [cr, lf] = [0x0d, 0x0a];
/** MLLP release 2, 2.3: the content of a commit acknowledgement block. */
export const [commitByte, refusalByte] = [0x06, 0x15];

/** ERR-3 (HL7 Table 0357) for a code; 207 is an application error. */
const errorCodes: Partial<Record<ErrorCode, string>> = {
  HL7_MALFORMED: "100",
  HL7_UNSUPPORTED: "200",
  HL7_CONFLICT: "205",
  DOCUMENT_CONFLICT: "205",
  PATIENT_MISMATCH: "204",
  CDA_INVALID: "102",
  DOCUMENT_MALFORMED: "102",
};

/** The answers of one frame as they become due: begun at once, to be written in turn. */
export function answersOf(frame: Taken, how: Answering): AsyncIterable<Uint8Array> {
  if (frame.kind === "message" && isBatch(frame.bytes)) return answersOfBatch(frame.bytes, how);
  return answersOfMessage(frame, how);
}

/**
 * The answer to what was neither read as a message nor kept; `head`: how it begins, if that is known. Without a whole MSH line
 * MSA-2 is empty. In release 2 the refusal byte says it all: an acknowledgement without a commit byte in front would be none.
 */
export function refusal(
  text: string,
  { release, charset }: Pick<Answering, "release" | "charset">,
  head?: Uint8Array,
): Uint8Array {
  if (release === 2) return Uint8Array.of(refusalByte);
  const isWhole = head?.includes(cr) || head?.includes(lf);
  const facts = head && isWhole ? readMshLine(head, charset === "from-msh-18" ? undefined : charset) : undefined;
  return buildAck(facts, answerOf(facts && acksOf(facts).commit(false) ? "CR" : "AR", "207", text));
}

function answersOfMessage(frame: Taken, { peer, charset, release, deliver }: Answering): AsyncIterable<Uint8Array> {
  const facts = readMshLine(frame.bytes, charset === "from-msh-18" ? undefined : charset);
  const delivered = deliver({
    body: one(frame.bytes),
    mediaType: frame.kind === "message" ? "application/hl7-v2" : "application/octet-stream",
    controlId: facts?.controlId ?? "",
    sender: peer,
  });
  delivered.catch(() => undefined);
  const due = frame.kind === "message" && facts ? acksOf(facts) : { commit: () => false, application: () => true };

  return (async function* () {
    let verdict: Verdict;
    let isStored = false;
    try {
      const { answer: later, done } = await delivered;
      if (frame.kind === "message" && frame.release) void done?.then(frame.release);
      isStored = true;
      if (release === 2) yield Uint8Array.of(commitByte);
      if (due.commit(true)) yield buildAck(facts, answerOf("CA"));
      verdict = await later;
    } catch (thrown) {
      verdict = { accepted: false, code: codeOf(thrown), reason: reasonOf(thrown) };
    }
    if (verdict.accepted) {
      if (due.application(true)) yield buildAck(facts, answerOf("AA"));
      return;
    }
    const code = verdict.code ?? "UNEXPECTED";
    const error = [errorCodes[code] ?? "207", `${code}: ${verdict.reason ?? ""}`] as const;
    const kind = consequenceOf(code).hl7 === "AR" ? "R" : "E";
    if (!isStored && release === 2) {
      // Not kept, to be sent again: the refusal byte says it all.
      if (kind === "R") return yield Uint8Array.of(refusalByte);
      yield Uint8Array.of(commitByte);
    }
    if (!isStored && due.commit(false)) yield buildAck(facts, answerOf(`C${kind}`, ...error));
    else if (due.application(false)) yield buildAck(facts, answerOf(`A${kind}`, ...error));
  })();
}

/** Each message of a batch is kept and judged on its own; the acknowledgements go back as a batch. */
async function* answersOfBatch(bytes: Uint8Array, how: Answering): AsyncGenerator<Uint8Array> {
  let batch: ReturnType<typeof readBatch>;
  try {
    batch = readBatch(bytes);
  } catch (thrown) {
    how.warn(reasonOf(thrown));
    return yield refusal(reasonOf(thrown), how);
  }
  const { messages, declared, head } = batch;
  // Nothing in it is nothing to acknowledge one by one: kept as it came, and refused.
  if (messages.length === 0) return yield* answersOfMessage({ kind: "broken", bytes, reason: "an empty batch" }, how);
  if (declared !== null && declared !== messages.length)
    how.warn(`BTS-1 says ${declared} messages and ${messages.length} came`);
  const acks: Uint8Array[] = [];
  const begun: AsyncIterable<Uint8Array>[] = [];
  let isKept = true;
  for (let at = 0; at < messages.length; at += 1) {
    while (begun.length < batchWindow && at + begun.length < messages.length) {
      const next = messages[at + begun.length];
      if (next) begun.push(answersOfMessage({ kind: "message", bytes: next }, how));
    }
    const answers = begun.shift();
    for await (const answer of answers ?? []) {
      // In release 2 a byte before each: one for the frame says the same of all of them, once all are kept.
      if (answer.length > 1) acks.push(answer);
      else if (answer[0] === refusalByte) isKept = false;
    }
  }
  // What was kept of it gets the same answer when it comes again.
  if (!isKept) return yield Uint8Array.of(refusalByte);
  if (how.release === 2) yield Uint8Array.of(commitByte);
  if (acks.length > 0) yield buildBatchAnswer(head, acks, { id: controlId(), time: hl7Time(new Date()) });
}

let sequence = 0;
/** Our own MSH-10: unique, at most 20 characters. */
function controlId(): string {
  sequence = (sequence + 1) % 0xffffff;
  return `S${Date.now().toString(36)}${sequence.toString(36).padStart(5, "0")}`.toUpperCase();
}

const answerOf = (code: AckCode, error?: string, text?: string) => ({
  code,
  controlId: controlId(),
  now: new Date(),
  ...(error ? { errors: [{ code: error, text: text ?? "" }] } : {}),
});

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

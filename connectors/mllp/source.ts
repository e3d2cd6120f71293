/** MLLP source: listens for HL7 v2 messages and answers each from what `deliver` says, in the order they came. */
import type { Socket } from "node:net";
import { z } from "zod";
import { codeOf, consequenceOf, type ErrorCode, reasonOf } from "../../errors.ts";
import { type AckCode, acksOf, buildAck, type MessageFacts, readMsh } from "../../formats/hl7.ts";
import type { Context, Deliver, Source, Verdict } from "../connector.ts";
import { listenOn, tlsOptions } from "../wire.ts";
import { type Frame, frameOf, openFramer } from "./framer.ts";

/** Messages of one connection that may wait for their verdict at once. */
const maxUnanswered = 64;
const maxUnansweredBytes = 64 * 1024 * 1024;
/** What was taken before a stop may still be answered. */
const graceMs = 2_000;

const options = z.object({
  host: z.string().default("127.0.0.1").describe("Address to listen on."),
  port: z.int().min(0).max(65_535).describe("Port; 0 chooses a free one."),
  maxBytes: z
    .int()
    .min(1024)
    .default(64 * 1024 * 1024)
    .describe("Largest message, octets."),
  maxConnections: z.int().min(1).default(256).describe("Connections at once."),
  frameSeconds: z.number().positive().default(30).describe("An open frame must go on within this time."),
  charset: z.string().default("from-msh-18").describe("Character set: from-msh-18, or a WHATWG label."),
  tls: tlsOptions,
});

export const mllpSource: Source<typeof options> = {
  name: "mllp",
  summary: "HL7 v2 messages over MLLP",
  options,
  example: "mllp: { listen: 127.0.0.1:2575, charset: from-msh-18, answer: validated }",
  listen: async (settings, deliver, context) => {
    const serveOne = (socket: Socket, connections: number): void => {
      const peer = `${socket.remoteAddress}:${socket.remotePort}`;
      if (connections > settings.maxConnections) {
        context.log("mllp.refused", { peer, code: "PEER_BUSY", reason: "connection limit" }, "warn");
        socket.end(frameOf(buildAck(undefined, answerOf("AR", "207", "too many connections; try again later"))));
        return;
      }
      serve(socket, peer, settings, deliver, context);
    };
    return await listenOn({ ...settings, allowHalfOpen: true, graceMs }, serveOne, context);
  },
};

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

function serve(
  socket: Socket,
  peer: string,
  settings: z.output<typeof options>,
  deliver: Deliver,
  { log }: Context,
): void {
  const framer = openFramer(settings.maxBytes);
  let answers: Promise<void> = Promise.resolve();
  let unanswered = 0;
  let unansweredBytes = 0;
  let noise = 0;
  // A connection may be quiet for days between messages, never inside one, nor after octets that begin none.
  const watch = (isNoisy: boolean): void =>
    void socket.setTimeout(framer.isOpen() || isNoisy ? settings.frameSeconds * 1000 : 0);
  socket.on("error", () => undefined);
  socket.on("timeout", () => {
    log("mllp.cut", { peer, code: "HL7_MALFORMED", reason: "no whole frame came in time" }, "warn");
    rest();
    answers = answers.then(() => void socket.destroySoon());
  });

  const write = (ack: Uint8Array): void => {
    if (!socket.destroyed) socket.write(frameOf(ack));
  };
  const take = (frame: Exclude<Frame, { kind: "oversize" }>): void => {
    unanswered += 1;
    unansweredBytes += frame.bytes.length;
    const answered = answer(frame, peer, settings.charset, deliver);
    answers = answers.then(async () => {
      for await (const ack of answered) write(ack);
      unanswered -= 1;
      unansweredBytes -= frame.bytes.length;
      if (socket.isPaused() && unanswered < maxUnanswered) socket.resume();
    });
  };

  /** What had come of an open frame is kept for a person, as every broken frame is. */
  const rest = (): void => {
    for (const frame of framer.end()) if (frame.kind === "broken") takeBroken(frame);
  };
  const takeBroken = (frame: Extract<Frame, { kind: "broken" }>): void => {
    log("mllp.broken", { peer, code: "HL7_MALFORMED", reason: frame.reason, bytes: frame.bytes.length }, "warn");
    take(frame);
  };

  socket.on("data", (chunk: Buffer) => {
    for (const frame of framer.push(chunk)) {
      if (frame.kind === "oversize") {
        log("mllp.refused", { peer, code: "TOO_LARGE" }, "warn");
        socket.pause();
        const told = answerOf(
          "AR",
          "207",
          `the message is over ${settings.maxBytes} octets; raise mllp.maxBytes or send less`,
        );
        answers = answers.then(() => void socket.end(frameOf(buildAck(undefined, told))));
        return;
      }
      if (frame.kind === "broken") takeBroken(frame);
      else take(frame);
    }
    const isNoisy = framer.noise() > noise;
    if (isNoisy) {
      noise = framer.noise();
      log("mllp.skipped", { peer, bytes: noise, reason: "octets outside frames" }, "debug");
    }
    if (unanswered >= maxUnanswered || unansweredBytes >= maxUnansweredBytes) socket.pause();
    watch(isNoisy);
  });
  socket.on("end", () => {
    rest();
    answers = answers.then(() => void socket.end());
  });
}

/** The acknowledgements of one frame, as they become due: begun at once, written in turn. */
function answer(
  frame: Exclude<Frame, { kind: "oversize" }>,
  peer: string,
  charset: string,
  deliver: Deliver,
): AsyncIterable<Uint8Array> {
  const facts = head(frame.bytes, charset);
  const isMessage = frame.kind === "message" && facts !== undefined;
  const delivered = deliver({
    body: one(frame.bytes),
    mediaType: frame.kind === "message" ? "application/hl7-v2" : "application/octet-stream",
    controlId: facts?.controlId ?? "",
    sender: peer,
  });
  delivered.catch(() => undefined);
  const due = isMessage ? acksOf(facts) : { commit: () => false, application: () => true };

  return (async function* () {
    let verdict: Verdict;
    let isStored = false;
    try {
      const { answer: later } = await delivered;
      isStored = true;
      if (due.commit(true)) yield buildAck(facts, answerOf("CA"));
      verdict = await later;
    } catch (thrown) {
      verdict = { accepted: false, code: codeOf(thrown), reason: reasonOf(thrown) };
    }
    const code = verdict.code ?? "UNEXPECTED";
    const error = [errorCodes[code] ?? "207", `${code}: ${verdict.reason ?? ""}`] as const;
    const kind = consequenceOf(code).hl7 === "AR" ? "R" : "E";
    if (!isStored && due.commit(false)) yield buildAck(facts, answerOf(`C${kind}`, ...error));
    else if (due.application(verdict.accepted))
      yield buildAck(facts, verdict.accepted ? answerOf("AA") : answerOf(`A${kind}`, ...error));
  })();
}

function head(bytes: Uint8Array, charset: string): MessageFacts | undefined {
  try {
    return readMsh(bytes, charset === "from-msh-18" ? {} : { charset });
  } catch {
    return undefined;
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

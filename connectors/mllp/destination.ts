/** MLLP destination: one message in flight on a connection, its acknowledgement matched by MSA-2. */
import { z } from "zod";
import { Fault } from "../../errors.ts";
import { fieldsOf, readMshLine, segments } from "../../formats/hl7.ts";
import type { Context, Destination, Item, Outcome } from "../connector.ts";
import { maxSeconds, reach, seconds, tlsOptions } from "../wire.ts";
import { commitByte, refusalByte } from "./answer.ts";
import { frameOf, frameOfPieces } from "./framer.ts";
import { type Line, openLine } from "./line.ts";
import { closeOthers, openPool, type Pool, poolOf } from "./pool.ts";

/** HL7 Table 0008, and the form of ERR-3's codes: a HIS may write anything there, a patient's name too. */
const answerCodes = new Set(["AA", "AE", "AR", "CA", "CE", "CR"]);
const errorForm = /^\d{1,3}$/;
/** ERR-3 values that no repetition can mend: message type, event, processing id, version (HL7 Table 0357). */
const permanent = new Set(["200", "201", "202", "203"]);

const port = z.int().min(1).max(65_535);
const options = z.object({
  host: z.string().describe("Where the system listens."),
  port: port.describe("Its port."),
  standby: z
    .array(z.object({ host: z.string(), port }))
    .max(8)
    .default([])
    .describe("Where else it listens: asked in this order when it cannot be reached."),
  connectSeconds: seconds.default(10).describe("To connect within, each address."),
  responseSeconds: seconds.default(30).describe("To answer within."),
  connections: z.int().min(1).max(32).default(1).describe("Connections at once, where they are kept open."),
  keepSeconds: z
    .number()
    .min(0)
    .max(maxSeconds)
    .default(0)
    .describe("A connection is kept open so long for the next message; 0: one each."),
  refusals: z
    .object({ AE: z.enum(["park", "retry"]).default("park"), AR: z.enum(["park", "retry"]).default("retry") })
    .prefault({})
    .describe("What a negative answer means."),
  awaits: z
    .enum(["commit", "application"])
    .default("commit")
    .describe(
      "Whether a commit acknowledgement (CA) is its answer, or the application's, which follows, is waited for.",
    ),
  release: z
    .union([z.literal(1), z.literal(2)])
    .default(1)
    .describe("MLLP release; 2 has a commit byte (06, or 15 for not kept) before the acknowledgement."),
  tls: tlsOptions,
});
type Settings = z.output<typeof options>;

export const mllpDestination: Destination<typeof options> = {
  name: "mllp",
  summary: "HL7 v2 messages over MLLP",
  options,
  example: "mllp: { connect: 127.0.0.1:2577, refusals: { AE: park, AR: retry } }",
  send: async (settings, items, report, context) => {
    const pool = poolFor(settings, context);
    const line = await pool.take(context.signal);
    let isSound = false;
    try {
      for await (const item of items) {
        isSound = false;
        const outcome = await exchange(line, item, settings, context);
        // After an unanswered message nothing on this connection can be matched any more.
        isSound = outcome.state !== "ambiguous";
        report(item, outcome);
        if (!isSound) return;
      }
    } finally {
      pool.give(line, isSound);
    }
  },
};

/** Without keepSeconds every call has a connection of its own. */
function poolFor(settings: Settings, { signal }: Context): Pool {
  const { connections, keepSeconds } = settings;
  const make = () => openPool((each) => connect(settings, each), { connections, keepMs: keepSeconds * 1000 });
  return keepSeconds > 0 ? poolOf(signal, nameOf(settings), make) : make();
}

/** After a change these are all settings of a site's systems: nobody waits for a connection by others any more (STOPPING). */
export const keepOnly = (settings: readonly Settings[], { signal }: Pick<Context, "signal">): void =>
  closeOthers(signal, new Set(settings.map(nameOf)));

/** Of settings that are used for message after message; the same ones say the same. */
function nameOf(settings: Settings): string {
  const known = names.get(settings);
  if (known !== undefined) return known;
  const name = JSON.stringify(settings);
  names.set(settings, name);
  return name;
}
const names = new WeakMap<Settings, string>();

/** The first address that can be reached; PEER_UNREACHABLE of the first when none can. */
async function connect(settings: Settings, signal: AbortSignal): Promise<Line> {
  const { host, port: first, standby } = settings;
  let failure: unknown;
  for (const address of [{ host, port: first }, ...standby]) {
    try {
      return openLine(await reach({ ...settings, ...address }, `${address.host}:${address.port}`, signal));
    } catch (thrown) {
      failure ??= thrown;
      if (signal.aborted) break;
    }
  }
  throw failure;
}

async function exchange(line: Line, item: Item, settings: Settings, { signal, log }: Context): Promise<Outcome> {
  const parts: Uint8Array[] = [];
  for await (const part of item.body()) parts.push(part);
  for (const late of line.takeLate()) {
    const { code, error } = readAck(late);
    log(
      "mllp.late",
      { code: "PEER_REFUSED", reason: `an answer came late and is of no message now: ${code} ${error}` },
      "warn",
    );
  }
  // While the message was made ready: nothing of it is on the wire.
  if (!line.isOpen())
    throw new Fault(
      "PEER_UNREACHABLE",
      "the system closed its connection before the message was sent; it is sent again",
    );
  try {
    line.write(frameOfPieces(parts));
    const until = performance.now() + settings.responseSeconds * 1000;
    for (;;) {
      const answer = await line.next(signal, until - performance.now());
      if (answer === undefined) return { state: "ambiguous", reason: "the connection ended before an acknowledgement" };
      if (settings.release === 2 && answer.length === 1) {
        if (answer[0] !== refusalByte) continue;
        return { state: "refused", code: "PEER_BUSY", reason: "the system did not keep the message", detail: "NAK" };
      }
      const outcome = outcomeOf(answer, item.controlId, settings);
      if (settings.release === 2) line.write(frameOf(Uint8Array.of(commitByte)));
      if (outcome) return outcome;
    }
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    return { state: "ambiguous", reason: `no acknowledgement within ${settings.responseSeconds} s` };
  }
}

/** What an acknowledgement says of this message; undefined for one that is of another, or only a commit where the verdict is awaited. */
function outcomeOf(ack: Uint8Array, controlId: string, { refusals, awaits }: Settings): Outcome | undefined {
  const { code, of, error } = readAck(ack);
  if (of !== controlId) return undefined;
  if (code === "CA" && awaits === "application") return undefined;
  if (code === "AA" || code === "CA") return { state: "delivered", detail: code };
  const kind = code === "AR" || code === "CR" ? "AR" : "AE";
  const retry = refusals[kind] === "retry" && !permanent.has(error);
  const detail = error ? `${code} ${error}` : code;
  return {
    state: "refused",
    code: retry ? "PEER_BUSY" : "PEER_REFUSED",
    reason: `the system answered ${detail}`,
    detail,
  };
}

/** The codes of an acknowledgement, whatever its MSH lacks: many a HIS gives it no id of its own. What is none is not told. */
function readAck(ack: Uint8Array): { readonly code: string; readonly of: string; readonly error: string } {
  let [code, of, error] = ["", "", ""];
  try {
    const facts = readMshLine(ack);
    if (!facts) throw new Fault("HL7_MALFORMED", "it does not begin with MSH");
    for (const segment of segments(ack)) {
      const fields = fieldsOf(segment, facts);
      if (segment.name === "MSA") [code = "", of = ""] = [fields[1], fields[2]];
      if (segment.name === "ERR") error = (fields[3] ?? "").split(facts.separators.component)[0] ?? "";
    }
  } catch {
    // Not an acknowledgement: the real one may still come.
  }
  return { code: answerCodes.has(code) ? code : "without a code", of, error: errorForm.test(error) ? error : "" };
}

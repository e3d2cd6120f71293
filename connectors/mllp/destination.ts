/** MLLP destination: one message in flight on a connection, its acknowledgement matched by MSA-2. */
import type { Socket } from "node:net";
import { z } from "zod";
import { Fault } from "../../errors.ts";
import { fieldsOf, readMsh, segments } from "../../formats/hl7.ts";
import type { Destination, Item, Outcome } from "../connector.ts";
import { reach, tlsOptions } from "../wire.ts";
import { frameOf, openFramer } from "./framer.ts";

const maxAckBytes = 1024 * 1024;
/** ERR-3 values that no repetition can mend: message type, event, processing id, version (HL7 Table 0357). */
const permanent = new Set(["200", "201", "202", "203"]);

const options = z.object({
  host: z.string().describe("Where the system listens."),
  port: z.int().min(1).max(65_535).describe("Its port."),
  connectSeconds: z.number().positive().default(10).describe("To connect within."),
  responseSeconds: z.number().positive().default(30).describe("To answer within."),
  refusals: z
    .object({ AE: z.enum(["park", "retry"]).default("park"), AR: z.enum(["park", "retry"]).default("retry") })
    .prefault({})
    .describe("What a negative answer means."),
  tls: tlsOptions,
});

export const mllpDestination: Destination<typeof options> = {
  name: "mllp",
  summary: "HL7 v2 messages over MLLP",
  options,
  example: "mllp: { connect: 127.0.0.1:2577, refusals: { AE: park, AR: retry } }",
  send: async (settings, items, report, { signal }) => {
    const socket = await reach(settings, `${settings.host}:${settings.port}`, signal);
    try {
      for await (const item of items) {
        const outcome = await exchange(socket, item, settings, signal);
        report(item, outcome);
        // After an unanswered message nothing on this connection can be matched any more.
        if (outcome.state === "ambiguous") return;
      }
    } finally {
      socket.end();
      socket.destroySoon();
    }
  },
};

async function exchange(
  socket: Socket,
  item: Item,
  settings: z.output<typeof options>,
  signal: AbortSignal,
): Promise<Outcome> {
  const parts: Uint8Array[] = [];
  for await (const part of item.body()) parts.push(part);
  const acks = acknowledgements(socket);
  try {
    socket.write(frameOf(Buffer.concat(parts)));
    const limit = AbortSignal.any([signal, AbortSignal.timeout(settings.responseSeconds * 1000)]);
    for (;;) {
      const ack = await acks.next(limit);
      if (ack === undefined) return { state: "ambiguous", reason: "the connection ended before an acknowledgement" };
      const outcome = outcomeOf(ack, item.controlId, settings);
      if (outcome) return outcome;
    }
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    return { state: "ambiguous", reason: `no acknowledgement within ${settings.responseSeconds} s` };
  } finally {
    acks.stop();
  }
}

/** Frames that come back on a connection. */
function acknowledgements(socket: Socket): {
  next(signal: AbortSignal): Promise<Uint8Array | undefined>;
  stop(): void;
} {
  const framer = openFramer(maxAckBytes);
  const waiting: Uint8Array[] = [];
  let isEnded = socket.destroyed;
  let wake = Promise.withResolvers<void>();
  const take = (chunk: Buffer): void => {
    for (const frame of framer.push(chunk)) if (frame.kind !== "oversize") waiting.push(frame.bytes);
    wake.resolve();
  };
  const end = (): void => {
    isEnded = true;
    wake.resolve();
  };
  socket.on("data", take).once("close", end).once("end", end);
  return {
    next: async (signal) => {
      const aborted = Promise.withResolvers<never>();
      const abort = (): void => aborted.reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      aborted.promise.catch(() => undefined);
      try {
        while (waiting.length === 0 && !isEnded) {
          signal.throwIfAborted();
          await Promise.race([wake.promise, aborted.promise]);
          wake = Promise.withResolvers<void>();
        }
        return waiting.shift();
      } finally {
        signal.removeEventListener("abort", abort);
      }
    },
    stop: () => void socket.off("data", take).off("close", end).off("end", end),
  };
}

/** What an acknowledgement says of this message; undefined for one that is of another, or only a commit before the verdict. */
function outcomeOf(ack: Uint8Array, controlId: string, { refusals }: z.output<typeof options>): Outcome | undefined {
  const { code, of, error } = readAck(ack);
  if (of !== controlId) return undefined;
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

function readAck(ack: Uint8Array): { readonly code: string; readonly of: string; readonly error: string } {
  let [code, of, error] = ["", "", ""];
  try {
    const facts = readMsh(ack);
    for (const segment of segments(ack)) {
      const fields = fieldsOf(segment, facts);
      if (segment.name === "MSA") [code = "", of = ""] = [fields[1], fields[2]];
      if (segment.name === "ERR") error = (fields[3] ?? "").split(facts.separators.component)[0] ?? "";
    }
  } catch {
    // Not an acknowledgement: the real one may still come.
  }
  return { code, of, error };
}

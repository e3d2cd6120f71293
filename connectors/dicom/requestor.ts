/** One association as requestor: opens it, stores instances on it one after the other, releases it. */
import type { Socket } from "node:net";
import { Fault } from "../../errors.ts";
import { reach, type Tls } from "../wire.ts";
import { type ProposedContext, readAccept, writeRequest } from "./association.ts";
import { type CommandSet, commands, element, noDataSet, numberOf, readCommand, writeCommand } from "./dimse.ts";
import { abort, abortSource, dataHead, openPduReader, ProtocolError, pduTypes, releaseRq } from "./pdu.ts";

export type Peer = {
  readonly host: string;
  readonly port: number;
  readonly callingAeTitle: string;
  readonly calledAeTitle: string;
  readonly maxPdu: number;
  readonly connectSeconds: number;
  readonly responseSeconds: number;
  readonly tls?: Tls;
};

export type Association = {
  isAccepted(contextId: number): boolean;
  /** Sends a command, and its data set if there is one; resolves with the response's status. */
  request(
    contextId: number,
    set: readonly (readonly [number, string | number])[],
    dataSet?: AsyncIterable<Uint8Array>,
  ): Promise<number>;
  /** Whether a request was written whole and not answered. */
  readonly isAmbiguous: () => boolean;
  release(): Promise<void>;
  abort(): void;
};

/** Data are gathered to writes of about this size, several PDUs each. */
const writeBytes = 256 * 1024;
const releaseMs = 2_000;

/** What that peer's administrator must enter, by reason of rejection (PS3.8 Table 9-21). */
const rejections: Readonly<Record<string, string>> = {
  "1.1.1": "it gives no reason",
  "1.1.2": "it does not support the application context",
  "1.1.3": "it does not know our calling AE title; its administrator must enter it",
  "1.1.7": "it is not the called AE title; correct calledAeTitle",
};

/** Opens an association. PEER_UNREACHABLE, PEER_BUSY (rejected for now) or PEER_REFUSED (rejected, with what to enter). */
export async function openAssociation(
  peer: Peer,
  contexts: readonly ProposedContext[],
  signal: AbortSignal,
): Promise<Association> {
  const where = `${peer.calledAeTitle}@${peer.host}:${peer.port}`;
  const socket = await reach(peer, where, signal);
  const inbox = openInbox(socket, peer);
  socket.write(writeRequest(peer.calledAeTitle, peer.callingAeTitle, contexts, peer.maxPdu));
  const answer = await inbox.control(peer.connectSeconds, signal).catch((cause: unknown) => {
    socket.destroy();
    throw new Fault("PEER_UNREACHABLE", `${where} did not answer the association request`, { cause });
  });
  if (answer.type !== pduTypes.associateAc) {
    socket.destroy();
    throw rejection(answer, where, peer);
  }
  const { results, maxPdu } = readAccept(answer.body);
  const limit = Math.min(maxPdu === 0 ? peer.maxPdu : maxPdu, peer.maxPdu);
  let isUnanswered = false;

  return {
    isAccepted: (contextId) => results.get(contextId) === 0,
    isAmbiguous: () => isUnanswered,
    request: async (contextId, set, dataSet) => {
      const command = writeCommand(set);
      socket.cork();
      socket.write(dataHead(contextId, true, true, command.length));
      socket.write(command);
      process.nextTick(() => socket.uncork());
      if (dataSet) await sendData(socket, contextId, dataSet, limit - 6);
      isUnanswered = true;
      const response = await inbox.response(peer.responseSeconds, signal);
      isUnanswered = false;
      return numberOf(response, element.status);
    },
    release: async () => {
      socket.write(releaseRq);
      await inbox.control(releaseMs / 1000, signal).catch(() => undefined);
      socket.end();
      socket.destroySoon();
    },
    abort: () => void socket.end(abort(abortSource.user, 0)),
  };
}

/** C-STORE-RQ (PS3.7 9.3.1.1). */
export const storeCommand = (messageId: number, sopClassUid: string, sopInstanceUid: string) =>
  [
    [element.affectedSopClass, sopClassUid],
    [element.commandField, commands.storeRq],
    [element.messageId, messageId],
    [element.priority, 0],
    [element.dataSetType, 0],
    [element.affectedSopInstance, sopInstanceUid],
  ] as const;

/** C-ECHO-RQ (PS3.7 9.3.5.1). */
export const echoCommand = (messageId: number, verificationClass: string) =>
  [
    [element.affectedSopClass, verificationClass],
    [element.commandField, commands.echoRq],
    [element.messageId, messageId],
    [element.dataSetType, noDataSet],
  ] as const;

function rejection({ type, body }: { type: number; body: Buffer }, where: string, { callingAeTitle }: Peer): Fault {
  if (type !== pduTypes.associateRj) return new Fault("PEER_UNREACHABLE", `${where} aborted the association request`);
  const [, result = 1, source = 1, reason = 1] = body;
  const why = rejections[`${result}.${source}.${reason}`] ?? `result ${result}, source ${source}, reason ${reason}`;
  // Result 2 is rejected-transient (PS3.8 9.3.4).
  return new Fault(result === 2 ? "PEER_BUSY" : "PEER_REFUSED", `${where} rejected ${callingAeTitle}: ${why}`);
}

/** The data set in P-DATA PDUs of the peer's size. One chunk is kept back, since the last fragment must say that it is. */
async function sendData(
  socket: Socket,
  contextId: number,
  dataSet: AsyncIterable<Uint8Array>,
  size: number,
): Promise<void> {
  let pending: Uint8Array[] = [];
  let held = 0;
  const flush = async (isLast: boolean): Promise<void> => {
    const bytes = Buffer.concat(pending, held);
    const whole = isLast ? bytes.length : Math.max(0, Math.ceil(bytes.length / size) - 1) * size;
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < whole; at += size) {
      const piece = bytes.subarray(at, Math.min(at + size, whole));
      pieces.push(dataHead(contextId, false, isLast && at + size >= whole, piece.length), piece);
    }
    pending = whole < bytes.length ? [bytes.subarray(whole)] : [];
    held = bytes.length - whole;
    if (socket.destroyed) throw new Fault("PEER_UNREACHABLE", "the connection was lost while sending");
    socket.cork();
    let isFree = true;
    for (const piece of pieces) isFree = socket.write(piece);
    process.nextTick(() => socket.uncork());
    if (!isFree) await drained(socket);
  };
  for await (const chunk of dataSet) {
    pending.push(chunk);
    held += chunk.length;
    if (held >= writeBytes + size) await flush(false);
  }
  await flush(true);
}

/** The socket takes more, or is gone: both end the wait, and neither leaves a listener behind. */
const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });

type Inbox = {
  control(seconds: number, signal: AbortSignal): Promise<{ type: number; body: Buffer }>;
  response(seconds: number, signal: AbortSignal): Promise<CommandSet>;
};

/** What the peer sends: at most one request is open, so one thing is waited for. */
function openInbox(socket: Socket, { maxPdu }: Peer): Inbox {
  const controls: { type: number; body: Buffer }[] = [];
  const responses: CommandSet[] = [];
  let command: Uint8Array[] = [];
  let isEnded = false;
  let wake: (() => void) | undefined;
  const signalWaiter = (): void => wake?.();
  const read = openPduReader(Math.max(maxPdu, 131_072), {
    control: (type, body) => void controls.push({ type, body }),
    fragment: ({ isCommand, isLast, bytes }) => {
      if (!isCommand) return;
      command.push(Buffer.from(bytes));
      if (!isLast) return;
      responses.push(readCommand(Buffer.concat(command)));
      command = [];
    },
  });
  const end = (): void => {
    isEnded = true;
    signalWaiter();
  };
  socket.on("data", (chunk: Buffer) => {
    try {
      read(chunk);
    } catch (thrown) {
      if (!(thrown instanceof ProtocolError)) throw thrown;
      socket.destroy();
    }
    signalWaiter();
  });
  socket.on("close", end).on("end", end);
  const next = async <T>(from: T[], seconds: number, signal: AbortSignal): Promise<T> => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]);
    for (;;) {
      const found = from.shift();
      if (found !== undefined) return found;
      if (isEnded || controls.some(({ type }) => type === pduTypes.abort))
        throw new Error("the peer closed or aborted the association");
      limit.throwIfAborted();
      await new Promise<void>((resolve) => {
        const done = (): void => {
          limit.removeEventListener("abort", done);
          wake = undefined;
          resolve();
        };
        wake = done;
        limit.addEventListener("abort", done, { once: true });
      });
    }
  };
  return {
    control: (seconds, signal) => next(controls, seconds, signal),
    response: (seconds, signal) => next(responses, seconds, signal),
  };
}

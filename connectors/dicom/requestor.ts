/** One association as requestor: opens it, stores instances on it one after the other, releases it. */
import type { Socket } from "node:net";
import { Fault } from "../../errors.ts";
import { reach, type Tls } from "../wire.ts";
import { type ProposedContext, readAccept, writeRequest } from "./association.ts";
import { type CommandSet, commands, element, isTaken, noDataSet, numberOf, textOf, writeCommand } from "./dimse.ts";
import { openInbox, type PeerRequest } from "./inbox.ts";
import { followed, openOutbox } from "./outbox.ts";
import { abort, abortSource, pduTypes, releaseRq } from "./pdu.ts";

export type Peer = {
  readonly host: string;
  readonly port: number;
  readonly callingAeTitle: string;
  readonly calledAeTitle: string;
  readonly maxPdu: number;
  readonly connectSeconds: number;
  readonly responseSeconds: number;
  readonly tls?: Tls;
  /** Where we listen ourselves, for the peer's administrator. */
  readonly ourPort?: number | undefined;
};

type Elements = readonly (readonly [number, string | number])[];

export type Association = {
  isAccepted(contextId: number): boolean;
  /** PS3.8 9.3.3.2: 0 acceptance, 3 abstract syntax not supported, 4 transfer syntaxes not supported. */
  resultOf(contextId: number): number | undefined;
  /** Sends a command, and its data set if there is one; resolves with the response's status. */
  request(contextId: number, set: Elements, dataSet?: AsyncIterable<Uint8Array>): Promise<number>;
  /** The next request of the peer (N-EVENT-REPORT) within so many seconds; undefined when none came. */
  asked(seconds: number): Promise<PeerRequest | undefined>;
  /** Answers a request of the peer. */
  answer(contextId: number, set: Elements): Promise<void>;
  /** Whether a request was written whole and not answered. */
  readonly isAmbiguous: () => boolean;
  release(): Promise<void>;
  abort(): void;
};

/** Our release is answered within, or the connection closed. */
export const releaseSeconds = 2;
/** A peer without a limit, or with a larger one, gets no larger P-DATA. */
const largestPdu = 1024 * 1024;
/** A peer that takes less breaks the upper layer: a command alone is longer. */
const smallestPdu = 1024;

/** Opens an association. PEER_UNREACHABLE, PEER_BUSY (rejected for now), AE_TITLE_UNKNOWN (with what to enter) or PEER_REFUSED. */
export async function openAssociation(
  peer: Peer,
  contexts: readonly ProposedContext[],
  signal: AbortSignal,
): Promise<Association> {
  const where = `${peer.calledAeTitle}@${peer.host}:${peer.port}`;
  const socket = await reach(peer, where, signal);
  const stop = (): void => void socket.destroy();
  signal.addEventListener("abort", stop, { once: true });
  socket.once("close", () => signal.removeEventListener("abort", stop));
  const inbox = openInbox(socket, Math.max(peer.maxPdu, 131_072));
  socket.write(writeRequest(peer.calledAeTitle, peer.callingAeTitle, contexts, peer.maxPdu));
  const answer = await inbox.control(peer.connectSeconds).catch((cause: unknown) => {
    socket.destroy();
    throw new Fault("PEER_UNREACHABLE", `${where} did not answer the association request`, { cause });
  });
  const ours = { aeTitle: peer.callingAeTitle, host: socket.localAddress ?? "", port: peer.ourPort };
  if (answer.type !== pduTypes.associateAc) {
    socket.destroy();
    throw rejection(answer, where, ours);
  }
  const { results, maxPdu } = accepted(answer.body, contexts, socket, where);
  const limit = maxPdu === 0 ? largestPdu : Math.min(Math.max(maxPdu, smallestPdu), largestPdu);
  const outbox = openOutbox(socket, limit, peer.responseSeconds);
  let isUnanswered = false;
  let hasAnswered = false;
  /** Some take an association of anybody, and end it at the first request of whom they do not know. */
  const orUnknown = (thrown: unknown): never => {
    // A write that fails is told before the end of its connection is.
    const isOver = inbox.isEnded() || socket.errored !== null;
    if (hasAnswered || !isOver || !(thrown instanceof Fault)) throw thrown;
    throw new Fault(thrown.code, `${thrown.message}; if it does not know us, ${toEnter(ours)}`, { cause: thrown });
  };

  return {
    isAccepted: (contextId) => results.get(contextId) === 0,
    resultOf: (contextId) => results.get(contextId),
    isAmbiguous: () => isUnanswered,
    request: async (contextId, set, dataSet) => {
      const asked = {
        messageId: numberIn(set, element.messageId),
        commandField: numberIn(set, element.commandField),
      };
      let isEarly = false;
      const whole = dataSet && followed(dataSet, () => (isEarly = inbox.hasResponse(asked)));
      await outbox.send(contextId, writeCommand(set), whole).catch(orUnknown);
      isUnanswered = true;
      const response = await inbox.response(asked, peer.responseSeconds).catch(orUnknown);
      hasAnswered = true;
      const answer = numberOf(response, element.status);
      if (isEarly && isTaken(answer))
        throw unfit(where, "answered before the last of it was sent, and not for the whole");
      if (isOfAnother(set, response)) throw unfit(where, "answered for another instance than was sent");
      isUnanswered = false;
      return answer;
    },
    asked: (seconds) => inbox.request(seconds),
    answer: (contextId, set) => outbox.send(contextId, writeCommand(set)),
    release: async () => {
      socket.write(releaseRq);
      await inbox.control(releaseSeconds).catch(() => undefined);
      socket.end();
      socket.destroySoon();
    },
    abort: () => {
      socket.end(abort(abortSource.user, 0));
      socket.destroySoon();
    },
  };
}

const valueIn = (set: Elements, number: number) => set.find(([each]) => each === number)?.[1];
const numberIn = (set: Elements, number: number): number => Number(valueIn(set, number));

/** PS3.7 table 9.3-2: it may be left out, and is equal to what was asked. */
function isOfAnother(set: Elements, response: CommandSet): boolean {
  const told = textOf(response, element.affectedSopInstance);
  return (
    numberIn(set, element.commandField) === commands.storeRq &&
    told !== "" &&
    told !== valueIn(set, element.affectedSopInstance)
  );
}
const unfit = (where: string, what: string): Fault => new Fault("PEER_UNREACHABLE", `${where} ${what}`);

/** What the peer accepted; an answer that cannot be read ends the connection. */
function accepted(
  body: Buffer,
  proposed: readonly ProposedContext[],
  socket: Socket,
  where: string,
): ReturnType<typeof readAccept> {
  try {
    return readAccept(body, proposed);
  } catch (cause) {
    socket.destroy();
    throw new Fault("PEER_UNREACHABLE", `${where} answered the association request with octets that are none`, {
      cause,
    });
  }
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

/** What a peer's administrator would have to enter. */
export type Ours = { readonly aeTitle: string; readonly host: string; readonly port: number | undefined };

function toEnter({ aeTitle, host, port }: Ours): string {
  const ending = port === undefined ? "" : `, port ${port}`;
  return `its administrator must enter it: AE title ${aeTitle}, host ${host}${ending}`;
}

function rejection({ type, body }: { type: number; body: Buffer }, where: string, ours: Ours): Fault {
  if (type !== pduTypes.associateRj) return new Fault("PEER_UNREACHABLE", `${where} aborted the association request`);
  const [, result = 1, source = 1, reason = 1] = body;
  return rejectionOf([result, source, reason], where, ours);
}

/** What an A-ASSOCIATE-RJ means (PS3.8 9.3.4): result 2 is transient; reasons 3 and 7 of the service user are about AE titles. */
export function rejectionOf(
  [result, source, reason]: readonly [result: number, source: number, reason: number],
  where: string,
  ours: Ours,
): Fault {
  const enter = toEnter(ours);
  const numbers = `source ${source}, reason ${reason}`;
  if (result === 2) return new Fault("PEER_BUSY", `${where} rejected ${ours.aeTitle} for now: ${numbers}`);
  if (source === 1 && reason === 3)
    return new Fault("AE_TITLE_UNKNOWN", `${where} does not know our calling AE title; ${enter}`);
  if (source === 1 && reason === 7)
    return new Fault(
      "AE_TITLE_UNKNOWN",
      `${where} says it is not the called AE title: correct calledAeTitle, or ${enter}`,
    );
  const why = reason === 1 ? `without a reason (source ${source}); if it does not know us, ${enter}` : numbers;
  const isContext = source === 1 && reason === 2;
  return new Fault(
    "PEER_REFUSED",
    `${where} rejected ${ours.aeTitle}: ${isContext ? "it does not support the application context" : why}`,
  );
}

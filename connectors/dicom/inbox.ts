/** What a peer sends to a requestor: controls, responses to what was asked, and requests of its own (N-EVENT-REPORT). */
import type { Socket } from "node:net";
import { Fault } from "../../errors.ts";
import { type CommandSet, commands, element, maxCommandBytes, noDataSet, numberOf, readCommand } from "./dimse.ts";
import { openGathered } from "./gathered.ts";
import { abortReason, type Fragment, openPduReader, ProtocolError, pduTypes, releaseRp } from "./pdu.ts";

/** A request that came from the peer, with its data set. */
export type PeerRequest = { readonly contextId: number; readonly command: CommandSet; readonly dataSet: Buffer };
/** What a response is known by. */
export type Answered = { readonly messageId: number; readonly commandField: number };
type Control = { readonly type: number; readonly body: Buffer };

export type Inbox = {
  control(seconds: number): Promise<Control>;
  /** The response to this request; one to another, or without a status, says nothing of it and is dropped (PS3.7 9.3.1.2). */
  response(to: Answered, seconds: number): Promise<CommandSet>;
  /** Whether it is here already. */
  hasResponse(to: Answered): boolean;
  /** Whether the peer has released, closed or aborted. */
  isEnded(): boolean;
  /** The next request of the peer; undefined when none came in time or the association is gone. */
  request(seconds: number): Promise<PeerRequest | undefined>;
};

/** Data sets of a peer's own requests: a report about 25,000 instances is about 4 MB. */
const maxRequestBytes = 16 * 1024 * 1024;
/** Requests of a peer that nobody has asked for yet. */
const maxWaiting = 64;
const answers =
  ({ messageId, commandField }: Answered) =>
  (response: CommandSet): boolean =>
    numberOf(response, element.respondedTo) === messageId &&
    numberOf(response, element.commandField) === (commandField | 0x8000) &&
    response.has(element.status);
const isResponse = (command: CommandSet): boolean => (numberOf(command, element.commandField) & 0x8000) !== 0;

/** Reads a socket until it closes. */
export function openInbox(socket: Socket, maxPdu: number): Inbox {
  const controls: Control[] = [];
  const responses: CommandSet[] = [];
  const requests: PeerRequest[] = [];
  let isEnded = false;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const each of [...waiting]) each();
  };
  const gather = openGatherer((contextId, command, dataSet) => {
    if (isResponse(command)) responses.push(command);
    else if (numberOf(command, element.commandField) !== commands.cancelRq)
      requests.push({ contextId, command, dataSet });
    if (responses.length + requests.length > maxWaiting)
      throw new ProtocolError(abortReason.unexpectedPdu, "messages that nobody asked for");
  });
  const read = openPduReader(maxPdu, {
    control: (type, body) => {
      if (type === pduTypes.abort || type === pduTypes.releaseRq) isEnded = true;
      // Also where it collides with ours (PS3.8 9.2.2: AR-2 and AR-4, AR-8 and AR-9).
      if (type === pduTypes.releaseRq) socket.write(releaseRp);
      if (controls.length < maxWaiting) controls.push({ type, body });
    },
    fragment: gather,
  });
  const end = (): void => {
    isEnded = true;
    wake();
  };
  socket.on("data", (chunk: Buffer) => {
    try {
      read(chunk);
    } catch (thrown) {
      if (!(thrown instanceof ProtocolError)) throw thrown;
      socket.destroy();
    }
    wake();
  });
  socket.on("close", end).on("end", end);

  const next = async <T>(from: T[], seconds: number, isWanted: (each: T) => boolean = () => true): Promise<T> => {
    const until = performance.now() + seconds * 1000;
    for (;;) {
      let found = from.shift();
      while (found !== undefined && !isWanted(found)) found = from.shift();
      if (found !== undefined) return found;
      if (isEnded) throw new Fault("PEER_UNREACHABLE", "the peer released, closed or aborted the association");
      const left = until - performance.now();
      if (left <= 0) throw new Fault("PEER_UNREACHABLE", `the peer did not answer within ${seconds} s`);
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, left);
        waiting.add(done);
      });
    }
  };
  return {
    control: (seconds) => next(controls, seconds),
    response: (to, seconds) => next(responses, seconds, answers(to)),
    hasResponse: (to) => responses.some(answers(to)),
    isEnded: () => isEnded,
    request: (seconds) => next(requests, seconds).catch(() => undefined),
  };
}

/** Fragments to whole messages. The data set of a response is of no interest here and is dropped. */
function openGatherer(
  whole: (contextId: number, command: CommandSet, dataSet: Buffer) => void,
): (fragment: Fragment) => void {
  const gathered = openGathered();
  let command: CommandSet | undefined;
  const take = (piece: Uint8Array, limit: number): void => {
    if (gathered.size() + piece.length > limit)
      throw new ProtocolError(abortReason.invalidParameter, `a message over ${limit} octets`);
    gathered.add(piece);
  };
  return ({ contextId, isCommand, isLast, bytes: piece }) => {
    if (isCommand) {
      take(piece, maxCommandBytes);
      if (!isLast) return;
      command = readCommand(gathered.take());
      if (!isResponse(command) && numberOf(command, element.dataSetType) !== noDataSet) return;
      whole(contextId, command, Buffer.alloc(0));
      command = undefined;
    } else if (command) {
      take(piece, maxRequestBytes);
      if (!isLast) return;
      whole(contextId, command, gathered.take());
      command = undefined;
    }
  };
}

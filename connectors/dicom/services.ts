/** What is asked on one association (PS3.7 9, 10): each command with its data set, answered in the order it came. */
import type { Session } from "../connector.ts";
import type { Caller } from "./access.ts";
import type { AcceptedContext, Request } from "./association.ts";
import { openReports, serveAction, serveEventReport } from "./commitment-scp.ts";
import { maxDataSetBytes } from "./data-set.ts";
import {
  type CommandElements,
  type CommandSet,
  commands,
  element,
  maxCommandBytes,
  noDataSet,
  numberOf,
  readCommand,
  status,
  textOf,
  writeCommand,
} from "./dimse.ts";
import { openGathered } from "./gathered.ts";
import { abortReason, type Fragment, ProtocolError } from "./pdu.ts";
import type { Acceptor } from "./serve.ts";
import { takeInstance } from "./store-scp.ts";

/** Room for the control header of a PDV (PS3.8 9.3.5.1). */
const pdvHead = 6;
/** Questions of a peer that may wait for their answers: it was told to ask one at a time (PS3.7 D.3.3.3), and is read no further. */
const maxAwaited = 32;
/** What we send is small; a peer that takes less than this is given this. */
const pieceLimits = { min: 1_018, max: 131_066 } as const;

export type Asked = Acceptor & {
  readonly peer: string;
  readonly caller: Caller;
  readonly request: Request;
  readonly session: Session;
  send(contextId: number, command: Buffer, dataSet?: Buffer): void;
  /** Whether a request of ours may still be sent. */
  isEstablished(): boolean;
  resume(): void;
};

export type Services = {
  /** Largest piece of a data set that the peer takes. */
  readonly maxPiece: number;
  /** Throws a ProtocolError for what aborts the association; `pause`: enough waits. */
  fragment(fragment: Fragment, context: AcceptedContext): "pause" | "go on";
  /** Whether a message of the peer is under way. */
  isWithin(): boolean;
  /** Whether the peer waits for an answer of ours. */
  isAwaited(): boolean;
  /** The peer releases: resolves when everything that it asked is answered; nothing more is asked of it. */
  settled(): Promise<void>;
  /** The association is over; what was not whole fails with this reason. */
  end(why: string): void;
};

/** Where the data set of the command goes that is being received. */
export type Sink = {
  readonly contextId: number;
  /** False: enough waits. */
  push(bytes: Uint8Array): boolean;
  finish(): void;
  fail(why: string): void;
};
/** What a service makes of a whole command and data set: the status to answer, and what it does once that is sent. */
export type Answer = { readonly status: number; readonly after?: () => void };

/** The services of one association. */
export function openServices(asked: Asked): Services {
  const { request, send } = asked;
  // Even, as each fragment is (PS3.8 E.1).
  const maxPiece = Math.max(pieceLimits.min, Math.min((request.maxPdu || Infinity) - pdvHead, pieceLimits.max)) & ~1;
  const reports = openReports(asked);
  const command = openGathered();
  let isCommanding = false;
  let sink: Sink | undefined;
  let answers: Promise<void> = Promise.resolve();
  let awaited = 0;

  /** Answers go out in the order of the questions. */
  const answer = (set: CommandSet, contextId: number, pending: Promise<Answer> | Answer): void => {
    awaited += 1;
    answers = answers.then(async () => {
      const { status: code, after } = await pending;
      awaited -= 1;
      if (awaited === maxAwaited - 1) asked.resume();
      send(contextId, writeCommand(responseTo(set, code)));
      after?.();
    });
  };

  const service: Readonly<
    Record<number, (set: CommandSet, contextId: number, syntax: string, bytes: Buffer) => Promise<Answer> | Answer>
  > = {
    [commands.echoRq]: () => ({ status: status.success }),
    [commands.actionRq]: (set, contextId, syntax, bytes) =>
      serveAction(asked, set, bytes, syntax, (report) => reports.send(report, contextId, syntax)),
    [commands.eventReportRq]: (set, _contextId, syntax, bytes) => serveEventReport(asked, set, bytes, syntax),
  };

  /** Takes a command; where a data set follows, it goes to the sink that comes back. */
  const begin = (set: CommandSet, contextId: number, context: AcceptedContext): Sink | undefined => {
    const field = numberOf(set, element.commandField);
    const hasData = numberOf(set, element.dataSetType) !== noDataSet;
    const operate = (bytes: Buffer): void => {
      // No operation of ours lasts long enough to be cancelled: it is answered as if it had not been (PS3.7 9.3.2.3).
      if (field === commands.cancelRq) return;
      if (field === commands.eventReportRsp) {
        reports.answered(numberOf(set, element.respondedTo), numberOf(set, element.status));
        return;
      }
      if (field & 0x8000)
        throw new ProtocolError(abortReason.unexpectedParameter, `a response ${field.toString(16)} to nothing`);
      const serve = service[field] ?? (() => ({ status: status.unrecognizedOperation }));
      answer(set, contextId, serve(set, contextId, context.transferSyntax, bytes));
    };
    if (field === commands.storeRq && hasData) {
      const { answered, ...taken } = takeInstance(asked, set, context);
      const finish = (): void => {
        taken.finish();
        answer(set, contextId, answered);
      };
      return { contextId, ...taken, finish };
    }
    if (hasData) return gather(contextId, operate);
    operate(Buffer.alloc(0));
    return undefined;
  };

  const commandPiece = ({ contextId, isLast, bytes }: Fragment, context: AcceptedContext): void => {
    if (sink) throw new ProtocolError(abortReason.unexpectedParameter, "a command within a data set");
    if (command.size() + bytes.length > maxCommandBytes)
      throw new ProtocolError(abortReason.invalidParameter, "a command set over 64 KiB");
    command.add(bytes);
    isCommanding = !isLast;
    if (isLast) sink = begin(readCommand(command.take()), contextId, context);
  };

  /** False: enough waits. */
  const dataPiece = ({ contextId, isLast, bytes }: Fragment): boolean => {
    if (!sink || sink.contextId !== contextId)
      throw new ProtocolError(abortReason.unexpectedParameter, "a data set without its command");
    const hasRoom = sink.push(bytes);
    if (isLast) {
      const whole = sink;
      sink = undefined;
      whole.finish();
    }
    return hasRoom;
  };

  /** No request of ours is answered any more, and what has not come whole never will be. */
  const end = (why: string): void => {
    reports.end();
    sink?.fail(why);
    sink = undefined;
  };

  return {
    maxPiece,
    fragment: (piece, context) => {
      if (piece.isCommand) commandPiece(piece, context);
      const isFull = !piece.isCommand && !dataPiece(piece);
      return isFull || awaited >= maxAwaited ? "pause" : "go on";
    },
    isWithin: () => sink !== undefined || isCommanding,
    isAwaited: () => awaited > 0 && sink === undefined,
    settled: async () => {
      end("the association was released within an instance");
      await answers;
    },
    end,
  };
}

/** A small data set, held until it is whole. */
function gather(contextId: number, take: (bytes: Buffer) => void): Sink {
  const gathered = openGathered();
  return {
    contextId,
    push: (bytes) => {
      if (gathered.size() + bytes.length > maxDataSetBytes)
        throw new ProtocolError(abortReason.invalidParameter, `a data set of a service over ${maxDataSetBytes} octets`);
      gathered.add(bytes);
      return true;
    },
    finish: () => take(gathered.take()),
    fail: () => undefined,
  };
}

/** The response to a request: its own classes, instances and types, and a status (PS3.7 9.3, 10.3). */
function responseTo(set: CommandSet, code: number): CommandElements {
  const field = numberOf(set, element.commandField);
  const sopClass = textOf(set, element.affectedSopClass) || textOf(set, element.requestedSopClass);
  const sopInstance = textOf(set, element.affectedSopInstance) || textOf(set, element.requestedSopInstance);
  const type = [element.eventTypeId, element.actionTypeId].filter((each) => set.has(each));
  return [
    [element.affectedSopClass, sopClass],
    [element.commandField, field | 0x8000],
    [element.respondedTo, numberOf(set, element.messageId)],
    [element.dataSetType, noDataSet],
    [element.status, code],
    ...(sopInstance === "" ? [] : ([[element.affectedSopInstance, sopInstance]] as const)),
    ...type.map((each) => [each, numberOf(set, each)] as const),
  ];
}

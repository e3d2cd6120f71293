/** One association as acceptor (PS3.8 9.2, states Sta2 to Sta13 as far as an acceptor that releases on request has them). */
import type { Socket } from "node:net";
import { codeOf, consequenceOf, Fault, reasonOf } from "../../errors.ts";
import { part10Header } from "../../formats/dicom.ts";
import type { Context, Deliver, Verdict } from "../connector.ts";
import {
  type AcceptedContext,
  applicationContext,
  negotiate,
  type Request,
  readRequest,
  writeAccept,
  writeReject,
} from "./association.ts";
import {
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
import { type Flow, openFlow } from "./flow.ts";
import {
  abort,
  abortReason,
  abortSource,
  dataHead,
  type Fragment,
  openPduReader,
  ProtocolError,
  pduTypes,
  releaseRp,
} from "./pdu.ts";
import type { ScpOptions } from "./scp.ts";

/** Octets of an instance that may wait for the disk before the socket is paused. */
const highWater = 4 * 1024 * 1024;

export type Acceptor = {
  readonly settings: ScpOptions;
  readonly deliver: Deliver;
  readonly context: Context;
  isWelcome(callingAeTitle: string, address: string): boolean;
  isFull(): boolean;
};

type Instance = {
  readonly command: CommandSet;
  readonly contextId: number;
  readonly flow: Flow;
  readonly answered: Promise<Verdict>;
};

/** Serves one connection until it is released, aborted or lost. */
export function serveAssociation(
  socket: Socket,
  { settings, deliver, context: { log }, isWelcome, isFull }: Acceptor,
): void {
  const address = socket.remoteAddress ?? "";
  let peer = address;
  let request: Request | undefined;
  let accepted = new Map<number, AcceptedContext>();
  let command: Buffer[] = [];
  let commandBytes = 0;
  let instance: Instance | undefined;
  let isClosing = false;
  let responses: Promise<void> = Promise.resolve();

  const arm = (seconds: number): void => void socket.setTimeout(seconds * 1000);
  const close = (last: Buffer): void => {
    isClosing = true;
    // The peer closes (PS3.8 9.2.3); ARTIM closes for one that does not.
    socket.end(last);
    arm(settings.artimSeconds);
    socket.once("timeout", () => socket.destroy());
  };
  const lose = (what: string): void => instance?.flow.fail(new Fault("DICOM_INVALID", what));
  const fail = (thrown: unknown): void => {
    const isProtocol = thrown instanceof ProtocolError;
    const reason = isProtocol ? thrown.message : reasonOf(thrown);
    log("dicom.aborted", { peer, code: "DICOM_INVALID", reason }, "warn");
    lose("the association was aborted within an instance");
    if (!isClosing) close(abort(abortSource.provider, isProtocol ? thrown.reason : abortReason.notSpecified));
  };

  const associate = (body: Buffer): void => {
    if (request) throw new ProtocolError(abortReason.unexpectedPdu, "a second A-ASSOCIATE-RQ");
    const read = readRequest(body);
    peer = `${read.callingAeTitle}@${address}`;
    const refusal = refusalOf(read);
    if (refusal) {
      log("dicom.rejected", { peer, code: "NOT_PERMITTED", reason: refusal.why }, "warn");
      close(writeReject(refusal.result, refusal.source, refusal.reason));
      return;
    }
    request = read;
    const contexts = negotiate(read.contexts);
    accepted = new Map(contexts.filter(({ result }) => result === 0).map((each) => [each.id, each]));
    arm(settings.idleSeconds);
    socket.write(writeAccept(read, contexts, settings.maxPdu));
  };

  /** PS3.8 Table 9-21. */
  const refusalOf = (read: Request) => {
    if (isFull()) return { result: 2, source: 3, reason: 2, why: "as many associations as allowed" } as const;
    if ((read.protocolVersion & 1) === 0) return { result: 1, source: 2, reason: 2, why: "protocol version" } as const;
    if (read.applicationContext !== applicationContext)
      return { result: 1, source: 1, reason: 2, why: "application context" } as const;
    if (read.calledAeTitle !== settings.aeTitle)
      return {
        result: 1,
        source: 1,
        reason: 7,
        why: `called ${read.calledAeTitle}, we are ${settings.aeTitle}`,
      } as const;
    if (!isWelcome(read.callingAeTitle, address))
      return { result: 1, source: 1, reason: 3, why: "calling AE title not among callers" } as const;
    return undefined;
  };

  const control = (type: number, body: Buffer): void => {
    if (type === pduTypes.associateRq) associate(body);
    else if (type === pduTypes.abort) socket.destroy();
    else if (type === pduTypes.releaseRq && request) responses = responses.then(() => close(releaseRp));
    else throw new ProtocolError(abortReason.unexpectedPdu, `PDU type ${type} in this state`);
  };

  const fragment = ({ contextId, isCommand, isLast, bytes }: Fragment): void => {
    const context = accepted.get(contextId);
    if (!request || !context)
      throw new ProtocolError(abortReason.invalidParameter, `presentation context ${contextId} was not accepted`);
    if (isCommand) {
      if (instance) throw new ProtocolError(abortReason.unexpectedParameter, "a command within a data set");
      commandBytes += bytes.length;
      if (commandBytes > maxCommandBytes)
        throw new ProtocolError(abortReason.invalidParameter, "a command set over 64 KiB");
      command.push(Buffer.from(bytes));
      if (!isLast) return;
      const whole = Buffer.concat(command);
      command = [];
      commandBytes = 0;
      operate(readCommand(whole), contextId, context);
      return;
    }
    if (!instance || instance.contextId !== contextId)
      throw new ProtocolError(abortReason.unexpectedParameter, "a data set without its command");
    if (!instance.flow.push(bytes)) socket.pause();
    if (isLast) finish(instance);
  };

  const operate = (set: CommandSet, contextId: number, context: AcceptedContext): void => {
    const field = numberOf(set, element.commandField);
    const hasData = numberOf(set, element.dataSetType) !== noDataSet;
    if (field === commands.cancelRq) return;
    if (field === commands.storeRq && hasData) {
      instance = begin(set, contextId, context);
      return;
    }
    if (hasData)
      throw new ProtocolError(abortReason.unexpectedParameter, `command ${field.toString(16)} with a data set`);
    respond(set, contextId, field === commands.echoRq ? status.success : status.unrecognizedOperation);
  };

  const begin = (set: CommandSet, contextId: number, { abstractSyntax, transferSyntax }: AcceptedContext): Instance => {
    const sopInstanceUid = textOf(set, element.affectedSopInstance);
    const sopClassUid = textOf(set, element.affectedSopClass);
    const flow = openFlow(highWater, () => socket.resume());
    const header = part10Header(sopClassUid, sopInstanceUid, transferSyntax, request?.callingAeTitle ?? "");
    async function* body(): AsyncGenerator<Uint8Array> {
      if (sopClassUid !== abstractSyntax)
        throw new Fault("DICOM_MISMATCH", "the SOP class is not that of its presentation context");
      yield header;
      yield* flow.body;
    }
    const answered = deliver({ body: body(), mediaType: "application/dicom", controlId: sopInstanceUid, sender: peer })
      .then(({ answer }) => answer)
      .catch((thrown: unknown): Verdict => {
        log(
          "dicom.refused",
          { peer, controlId: sopInstanceUid.slice(0, 64), code: codeOf(thrown), reason: reasonOf(thrown) },
          "warn",
        );
        return { accepted: false, code: codeOf(thrown) };
      })
      // Whatever was not read is not wanted; the association goes on.
      .finally(() => flow.discard());
    return { command: set, contextId, flow, answered };
  };

  const finish = ({ flow, command: set, contextId, answered }: Instance): void => {
    flow.end();
    instance = undefined;
    responses = responses.then(async () => {
      const { accepted: isAccepted, code } = await answered;
      respond(set, contextId, isAccepted ? status.success : consequenceOf(code ?? "UNEXPECTED").dicom);
    });
  };

  const respond = (set: CommandSet, contextId: number, code: number): void => {
    const isStore = numberOf(set, element.commandField) === commands.storeRq;
    const response = writeCommand([
      [element.affectedSopClass, textOf(set, element.affectedSopClass)],
      [element.commandField, numberOf(set, element.commandField) | 0x8000],
      [element.respondedTo, numberOf(set, element.messageId)],
      [element.dataSetType, noDataSet],
      [element.status, code],
      ...(isStore ? ([[element.affectedSopInstance, textOf(set, element.affectedSopInstance)]] as const) : []),
    ]);
    if (!socket.destroyed && !isClosing)
      socket.write(Buffer.concat([dataHead(contextId, true, true, response.length), response]));
  };

  const read = openPduReader(settings.maxPdu, { control, fragment });
  arm(settings.artimSeconds);
  socket.on("data", (chunk: Buffer) => {
    if (isClosing) return;
    try {
      read(chunk);
    } catch (thrown) {
      fail(thrown);
    }
  });
  socket.on("timeout", () => {
    if (socket.isPaused() || isClosing) return;
    log("dicom.cut", { peer, code: "DICOM_INVALID", reason: "silent for too long" }, "warn");
    lose("the association fell silent within an instance");
    close(abort(abortSource.provider, abortReason.notSpecified));
  });
  socket.on("error", () => undefined);
  socket.on("close", () => lose("the connection was lost within an instance"));
}

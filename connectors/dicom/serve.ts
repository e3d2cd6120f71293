/** One association as acceptor: the standard's state machine (states.ts) over one socket; what is asked on it is for services.ts. */
import type { Socket } from "node:net";
import { codeOf, reasonOf } from "../../errors.ts";
import { giveBack } from "../../memory.ts";
import type { Context, Deliver } from "../connector.ts";
import { type Admit, namesOf, providerRejection, type Rejection, userRejection } from "./access.ts";
import { type AcceptedContext, negotiate, type Request, readRequest, writeAccept, writeReject } from "./association.ts";
import type { Commitments } from "./commitment-owed.ts";
import type { Budget } from "./flow.ts";
import {
  abort,
  abortReason,
  abortSource,
  dataHead,
  type Fragment,
  openPduReader,
  ProtocolError,
  releaseRp,
} from "./pdu.ts";
import type { ScpOptions } from "./scp.ts";
import { openServices, type Services } from "./services.ts";
import { type Action, actionOf, type Event, eventOfPdu, nextState, type State } from "./states.ts";

export type Acceptor = {
  readonly settings: ScpOptions;
  readonly deliver: Deliver;
  readonly context: Context;
  readonly admit: Admit;
  readonly budget: Budget;
  readonly commitments: Commitments;
  isFull(): boolean;
};

/** A peer has this long to close after our last PDU, or ARTIM where that is less. */
const maxCloseSeconds = 5;
/** Octets of ours that a peer may leave unread: two reports about 25,000 instances. */
const maxUnreadBytes = 8 * 1024 * 1024;
let opened = 0;

/** Serves one connection until it is released, aborted or lost. */
export function serveAssociation(socket: Socket, acceptor: Acceptor): void {
  const { settings, context, admit, isFull } = acceptor;
  const { log } = context;
  const address = socket.remoteAddress ?? "";
  let peer = address;
  let state: State = "Sta1";
  let accepted: ReadonlyMap<number, AcceptedContext> = new Map();
  let services: Services | undefined;
  let artim: NodeJS.Timeout | undefined;
  let isDeaf = false;
  opened += 1;
  let end = (): void => undefined;
  const session = { id: `dicom-${opened}`, ended: new Promise<void>((resolve) => (end = resolve)) };

  type Given = {
    readonly body?: Buffer;
    readonly rejection?: Rejection;
    readonly reason?: number;
    readonly why?: string;
  };
  const happen = (event: Event, given: Given = {}): void => {
    const action = actionOf(state, event);
    if (!action) return;
    [state = state] = nextState[action];
    perform[action]?.(given);
  };

  /** Silence that is allowed from now on: little within a PDU or a message, longer between them. */
  const allowSilence = (isWithin: boolean): void => {
    const { stallSeconds, idleSeconds } = settings;
    const ms = (isWithin ? Math.min(stallSeconds, idleSeconds) : idleSeconds) * 1000;
    if (socket.timeout !== ms) socket.setTimeout(ms);
  };
  const startArtim = (seconds: number): void => {
    clearTimeout(artim);
    socket.setTimeout(0);
    artim = setTimeout(() => {
      const reason = "no association request came within artimSeconds";
      if (state === "Sta2") log("dicom.cut", { peer, code: "DICOM_INVALID", reason }, "warn");
      happen("Evt18 ARTIM expired");
    }, seconds * 1000);
  };
  /** Our last PDU; the peer closes (PS3.8 9.2.3). */
  const last = (pdu: Buffer): void => {
    socket.write(pdu);
    socket.resume();
    startArtim(Math.min(settings.artimSeconds, maxCloseSeconds));
  };
  const aborted = (source: number, { reason = abortReason.unexpectedPdu, why = "a PDU out of turn" }: Given): void => {
    log("dicom.aborted", { peer, code: "DICOM_INVALID", reason: why }, "warn");
    services?.end("the association was aborted within an instance");
    last(abort(source, source === abortSource.user ? abortReason.notSpecified : reason));
  };
  const reject = ({ rejection }: Given): void => {
    if (!rejection) return;
    const { result, source, reason, why } = rejection;
    log("dicom.rejected", { peer, code: result === 2 ? "PEER_BUSY" : "NOT_PERMITTED", reason: why }, "warn");
    last(writeReject(result, source, reason));
  };
  const lost = (): void => services?.end("the connection was lost within an instance");

  const associate = (body: Buffer): void => {
    const request = readRequest(body);
    peer = `${request.callingAeTitle}@${address}`;
    const rejection = providerRejection(request, isFull());
    if (rejection) {
      state = "Sta13";
      reject({ rejection });
      return;
    }
    const caller = admit({ aeTitle: request.callingAeTitle, address, names: namesOf(socket) });
    const refusal = userRejection(request, settings.aeTitle, caller !== undefined);
    if (refusal) happen("Evt8 associate reject", { rejection: refusal });
    else accept(request, caller ?? {});
  };
  const accept = (request: Request, caller: NonNullable<ReturnType<Admit>>): void => {
    const contexts = negotiate(request.contexts);
    accepted = new Map(contexts.filter(({ result }) => result === 0).map((each) => [each.id, each]));
    services = openServices({
      ...acceptor,
      peer,
      caller,
      request,
      session,
      send,
      isEstablished: () => state === "Sta6",
      resume: () => socket.resume(),
    });
    socket.write(writeAccept(request, contexts, settings.maxPdu));
    happen("Evt7 associate accept");
  };
  const send = (contextId: number, command: Buffer, dataSet?: Buffer): void => {
    if (!actionOf(state, "Evt9 data request") || socket.destroyed) return;
    const pieces = [dataHead(contextId, true, true, command.length), command];
    const size = services?.maxPiece ?? 0;
    for (let at = 0; dataSet && at < dataSet.length; at += size) {
      const piece = dataSet.subarray(at, at + size);
      pieces.push(dataHead(contextId, false, at + size >= dataSet.length, piece.length), piece);
    }
    socket.write(Buffer.concat(pieces));
    if (socket.writableLength > maxUnreadBytes)
      happen("Evt15 abort request", { why: `it does not read its answers: ${maxUnreadBytes} octets wait for it` });
  };

  const perform: Readonly<Partial<Record<Action, (given: Given) => void>>> = {
    "AE-5": () => startArtim(settings.artimSeconds),
    "AE-6": ({ body }) => body && associate(body),
    "AE-7": () => {
      clearTimeout(artim);
      allowSilence(false);
    },
    "AE-8": reject,
    "AR-2": () => void services?.settled().then(() => happen("Evt14 release response")),
    "AR-4": () => last(releaseRp),
    "AA-1": (given) => aborted(abortSource.user, given),
    "AA-2": () => socket.destroy(),
    "AA-3": () => {
      lost();
      socket.destroy();
    },
    "AA-4": lost,
    // ARTIM runs already: a peer cannot prolong it.
    "AA-7": ({ reason = abortReason.unexpectedPdu }) => void socket.write(abort(abortSource.provider, reason)),
    "AA-8": (given) => aborted(abortSource.provider, given),
  };

  const invalid = (thrown: unknown): void => {
    const isProtocol = thrown instanceof ProtocolError;
    const why = isProtocol ? thrown.message : reasonOf(thrown);
    if (!isProtocol && codeOf(thrown) === "UNEXPECTED")
      log("dicom.failed", { peer, code: "UNEXPECTED", reason: why }, "error");
    happen("Evt19 unrecognized PDU", { why, reason: isProtocol ? thrown.reason : abortReason.notSpecified });
  };
  const fragment = (piece: Fragment): void => {
    happen("Evt10 P-DATA-TF");
    if (state !== "Sta6") return;
    try {
      const found = accepted.get(piece.contextId);
      if (!found)
        throw new ProtocolError(
          abortReason.invalidParameter,
          `presentation context ${piece.contextId} was not accepted`,
        );
      if (services?.fragment(piece, found) === "pause") socket.pause();
    } catch (thrown) {
      invalid(thrown);
    }
  };
  const control = (type: number, body: Buffer): void => {
    try {
      happen(eventOfPdu[type] ?? "Evt19 unrecognized PDU", { body });
    } catch (thrown) {
      // An A-ASSOCIATE-RQ that cannot be read is no request: the state is still that in which it came.
      state = "Sta2";
      invalid(thrown);
    }
  };

  const read = openPduReader(settings.maxPdu, { control, fragment });
  happen("Evt5 transport indication");
  socket.on("data", (chunk: Buffer) => {
    if (isDeaf) return;
    try {
      const isWithin = read(chunk);
      // What is kept of it was copied.
      giveBack(chunk);
      if (state === "Sta6") allowSilence(isWithin || (services?.isWithin() ?? false));
    } catch (thrown) {
      // Where the next PDU begins is not known any more.
      isDeaf = true;
      invalid(thrown);
    }
  });
  socket.on("timeout", () => {
    // Silence is no fault of a peer that waits for us.
    if (socket.isPaused() || services?.isAwaited()) {
      // A timer that has run out is not started again by itself.
      socket.setTimeout(socket.timeout ?? 0);
      return;
    }
    const seconds = (socket.timeout ?? 0) / 1000;
    happen("Evt15 abort request", {
      why: `it was silent for ${seconds} s; stallSeconds and idleSeconds allow no more`,
    });
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    clearTimeout(artim);
    happen("Evt17 transport closed");
    end();
  });
}

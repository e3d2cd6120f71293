/** A PACS that does as a test says: answers late, refuses contexts or titles, drops, falls silent, reports on what it holds. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import {
  commitmentClass,
  type ProposedContext,
  type Request,
  readRequest,
  writeAccept,
  writeReject,
} from "../../connectors/dicom/association.ts";
import {
  type CommitmentReport,
  type CommitmentRequest,
  commitmentInstance,
  eventTypeOf,
  readCommitmentRequest,
  writeCommitmentReport,
} from "../../connectors/dicom/commitment.ts";
import {
  type CommandSet,
  commands,
  element,
  noDataSet,
  numberOf,
  readCommand,
  textOf,
  writeCommand,
} from "../../connectors/dicom/dimse.ts";
import { dataHead, openPduReader, pduTypes, releaseRp } from "../../connectors/dicom/pdu.ts";
import { sha256 } from "../sites.ts";

export type Asked = {
  readonly command: CommandSet;
  readonly field: number;
  readonly sopInstanceUid: string;
  readonly contextId: number;
  readonly transferSyntax: string;
  readonly dataSet: Buffer;
  readonly request: Request;
  readonly socket: Socket;
};

export type Script = {
  /** Result, source and reason of a rejection. */
  reject?(request: Request): readonly [1 | 2, 1 | 2 | 3, number] | undefined;
  /** Result of a context; all are accepted unless said. */
  accepts?(context: ProposedContext): 0 | 3 | 4;
  /** Status of the response; nothing is answered for undefined. */
  answer?(asked: Asked): number | undefined | Promise<number | undefined>;
  /** What it does once it has answered. */
  after?(asked: Asked): void;
  /** Its largest P-DATA. */
  readonly maxPdu?: number;
  /** After the association is accepted it reads no more. */
  readonly isDeaf?: boolean;
};

export type ScriptedPacs = {
  readonly port: number;
  /** What was answered Success, in order: SOP Instance UID and digest of the data set. */
  readonly stored: (readonly [string, string])[];
  readonly requests: Request[];
  /** P-DATA lengths that came. */
  readonly pdus: Set<number>;
  stop(): Promise<void>;
};

const storeRq = 0x0001;

export async function scriptedPacs(script: Script = {}): Promise<ScriptedPacs> {
  const sockets = new Set<Socket>();
  const pacs = { stored: [] as [string, string][], requests: [] as Request[], pdus: new Set<number>() };
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    serve(socket, script, pacs);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    ...pacs,
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function serve(socket: Socket, script: Script, pacs: Pick<ScriptedPacs, "stored" | "requests" | "pdus">): void {
  let request: Request | undefined;
  let pieces: Buffer[] = [];
  let command: CommandSet | undefined;
  let queue = Promise.resolve();
  const whole = async (set: CommandSet, contextId: number, dataSet: Buffer): Promise<void> => {
    if (!request) return;
    const field = numberOf(set, element.commandField);
    if ((field & 0x8000) !== 0) return;
    const sopInstanceUid = textOf(set, element.affectedSopInstance);
    const transferSyntax = request.contexts.find(({ id }) => id === contextId)?.transferSyntaxes[0] ?? "";
    const asked = { command: set, field, sopInstanceUid, contextId, transferSyntax, dataSet, request, socket };
    const status = script.answer ? await script.answer(asked) : 0;
    if (status === undefined || socket.destroyed) return;
    if (field === storeRq && status === 0) pacs.stored.push([sopInstanceUid, sha256(dataSet)]);
    respond(asked, status);
    script.after?.(asked);
  };
  const measure = lengthsInto(pacs.pdus);
  const read = openPduReader(2 ** 24, {
    control: (type, body) => {
      if (type === pduTypes.releaseRq) queue = queue.then(() => void socket.end(releaseRp));
      if (type !== pduTypes.associateRq) return;
      request = readRequest(body);
      pacs.requests.push(request);
      const rejected = script.reject?.(request);
      if (rejected) {
        socket.end(writeReject(...rejected));
        return;
      }
      const contexts = request.contexts.map((context) => ({
        ...context,
        result: script.accepts?.(context) ?? 0,
        transferSyntax: context.transferSyntaxes[0] ?? "",
      }));
      socket.write(writeAccept(request, contexts, script.maxPdu ?? 16_384));
      if (script.isDeaf) socket.pause();
    },
    fragment: ({ contextId, isCommand, isLast, bytes }) => {
      pieces.push(Buffer.from(bytes));
      if (!isLast) return;
      const all = Buffer.concat(pieces);
      pieces = [];
      if (isCommand) command = readCommand(all);
      if (!command || (isCommand && numberOf(command, element.dataSetType) !== noDataSet)) return;
      const set = command;
      command = undefined;
      queue = queue.then(() => whole(set, contextId, isCommand ? Buffer.alloc(0) : all));
    },
  });
  socket.on("data", (chunk: Buffer) => {
    measure(chunk);
    read(chunk);
  });
}

/** A response to what was asked. */
export function respond({ command, field, contextId, socket }: Asked, status: number): void {
  const response = writeCommand([
    [element.commandField, field | 0x8000],
    [element.respondedTo, numberOf(command, element.messageId)],
    [element.dataSetType, noDataSet],
    [element.status, status],
  ]);
  socket.write(Buffer.concat([dataHead(contextId, true, true, response.length), response]));
}

/** Reports on a storage commitment on the association that asked for it: `reasonOf` gives the Failure Reason of an instance, or null. */
export function reportOn(
  { dataSet, transferSyntax, contextId, socket }: Asked,
  reasonOf: (sopInstanceUid: string) => number | null,
): void {
  const report = reportFor(readCommitmentRequest(dataSet, transferSyntax), reasonOf);
  const bytes = writeCommitmentReport(report, transferSyntax);
  const command = writeCommand(reportCommand(report));
  socket.write(Buffer.concat([dataHead(contextId, true, true, command.length), command]));
  socket.write(Buffer.concat([dataHead(contextId, false, true, bytes.length), bytes]));
}

export function reportFor(
  { transactionUid, references }: CommitmentRequest,
  reasonOf: (sopInstanceUid: string) => number | null,
): CommitmentReport {
  const told = references.map((each) => ({ ...each, reason: reasonOf(each.sopInstanceUid) }));
  return {
    transactionUid,
    committed: told.filter(({ reason }) => reason === null),
    failed: told.flatMap(({ reason, ...each }) => (reason === null ? [] : [{ ...each, reason }])),
  };
}

/** N-EVENT-REPORT-RQ. */
export const reportCommand = (report: CommitmentReport) =>
  [
    [element.affectedSopClass, commitmentClass],
    [element.commandField, commands.eventReportRq],
    [element.messageId, 1],
    [element.dataSetType, 0],
    [element.affectedSopInstance, commitmentInstance],
    [element.eventTypeId, eventTypeOf(report)],
  ] as const;

/** Lengths of the P-DATA in a stream. */
function lengthsInto(lengths: Set<number>): (chunk: Buffer) => void {
  let head = Buffer.alloc(0);
  let skip = 0;
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      const skipped = Math.min(skip, chunk.length - at);
      skip -= skipped;
      at += skipped;
      const some = chunk.subarray(at, at + 6 - head.length);
      head = Buffer.concat([head, some]);
      at += some.length;
      if (head.length < 6) continue;
      skip = head.readUInt32BE(2);
      if (head[0] === pduTypes.data) lengths.add(skip);
      head = Buffer.alloc(0);
    }
  };
}

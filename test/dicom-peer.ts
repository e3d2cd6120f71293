/** A scripted DICOM peer over a raw socket: it sends what a test says, in whatever order, and waits for PDU after PDU. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type ProposedContext, writeRequest } from "../connectors/dicom/association.ts";
import { type CommandSet, readCommand, writeCommand } from "../connectors/dicom/dimse.ts";
import { pduTypes, writePdu } from "../connectors/dicom/pdu.ts";

export type Pdu = { readonly type: number; readonly body: Buffer };
export type Message = { readonly contextId: number; readonly command: CommandSet; readonly dataSet: Buffer };
export type ScriptedPeer = {
  readonly socket: Socket;
  send(...pdus: readonly Uint8Array[]): void;
  /** The next PDU; undefined: the connection was closed. */
  next(): Promise<Pdu | undefined>;
  /** The next whole message with its data set; anything but P-DATA fails. */
  message(): Promise<Message>;
  closed(): Promise<void>;
};

export const ct = "1.2.840.10008.5.1.4.1.1.2";
export const explicitLittle = "1.2.840.10008.1.2.1";
const oneContext: readonly ProposedContext[] = [{ id: 1, abstractSyntax: ct, transferSyntaxes: [explicitLittle] }];

/** PDU with one PDV. */
export const pdv = (contextId: number, isCommand: boolean, isLast: boolean, bytes: Uint8Array): Buffer => {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(bytes.length + 2);
  head[4] = contextId;
  head[5] = (isCommand ? 1 : 0) | (isLast ? 2 : 0);
  return writePdu(pduTypes.data, Buffer.concat([head, bytes]));
};
export const command = (contextId: number, ...elements: readonly (readonly [number, string | number])[]): Buffer =>
  pdv(contextId, true, true, writeCommand(elements));
export const echoRq = (contextId = 1): Buffer =>
  command(contextId, [2, "1.2.840.10008.1.1"], [0x100, 0x30], [0x110, 7], [0x800, 0x101]);
export const storeRq = (sopInstanceUid: string, contextId = 1, sopClassUid = ct): Buffer =>
  command(contextId, [2, sopClassUid], [0x100, 1], [0x110, 1], [0x700, 0], [0x800, 0], [0x1000, sopInstanceUid]);
export const associateRq = (contexts = oneContext, calledAeTitle = "SEMRS_A"): Buffer =>
  writeRequest(calledAeTitle, "PACS_A", contexts, 16_384);

/** A peer on a connection that exists. */
export function script(socket: Socket): ScriptedPeer {
  let bytes = Buffer.alloc(0);
  let isClosed = false;
  let wake = (): void => undefined;
  socket.on("error", () => undefined);
  socket.on("data", (data: Buffer) => {
    bytes = Buffer.concat([bytes, data]);
    wake();
  });
  for (const event of ["end", "close"])
    socket.on(event, () => {
      isClosed = true;
      wake();
    });
  const next = async (): Promise<Pdu | undefined> => {
    for (;;) {
      const length = bytes.length < 6 ? Number.POSITIVE_INFINITY : 6 + bytes.readUInt32BE(2);
      if (bytes.length >= length) {
        const [type = 0, body] = [bytes[0], bytes.subarray(6, length)];
        bytes = bytes.subarray(length);
        return { type, body };
      }
      if (isClosed) return undefined;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  const message = async (): Promise<Message> => {
    const [commands, data]: [Buffer[], Buffer[]] = [[], []];
    for (;;) {
      const pdu = await next();
      if (pdu?.type !== pduTypes.data) throw new Error(`P-DATA expected, ${pdu ? `PDU ${pdu.type}` : "the end"} came`);
      const [contextId = 0, control = 0] = pdu.body.subarray(4);
      (control & 1 ? commands : data).push(pdu.body.subarray(6));
      if (!(control & 2)) continue;
      const read = readCommand(Buffer.concat(commands));
      if (control & 1 && read.get(0x800) !== 0x101) continue;
      return { contextId, command: read, dataSet: Buffer.concat(data) };
    }
  };
  return {
    socket,
    send: (...pdus) => void socket.write(Buffer.concat(pdus)),
    next,
    message,
    closed: async () => {
      while (await next());
    },
  };
}

/** Connects to a listener on this machine. */
export async function dial(port: number): Promise<ScriptedPeer> {
  const socket = connect(port, "127.0.0.1");
  const peer = script(socket);
  await once(socket, "connect");
  return peer;
}

/** Connects and associates. */
export async function associated(port: number, contexts = oneContext): Promise<ScriptedPeer> {
  const peer = await dial(port);
  peer.send(associateRq(contexts));
  const answer = await peer.next();
  if (answer?.type !== pduTypes.associateAc) throw new Error(`no association: PDU ${answer?.type}`);
  return peer;
}

/** Listens, and plays a script with each connection. */
export async function playing(
  play: (peer: ScriptedPeer, connection: number) => Promise<void>,
): Promise<{ readonly port: number; stop(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    play(script(socket), sockets.length).catch(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

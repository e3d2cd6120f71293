/** Messages to a peer as P-DATA of its size, several PDUs a write: two buffers in turn are the backpressure. */
import type { Socket } from "node:net";
import { Fault } from "../../errors.ts";
import { dataHead } from "./pdu.ts";

/** Octets a write, as whole PDUs. */
const writeBytes = 256 * 1024;
const headBytes = 12;

export type Outbox = {
  /** Resolves when the last octet is given to the socket. PEER_UNREACHABLE when the connection is lost or takes nothing for `seconds`. */
  send(contextId: number, command: Uint8Array, dataSet?: AsyncIterable<Uint8Array>): Promise<void>;
};

type Chunk = { readonly bytes: Buffer; written: Promise<void> };

/** `pduBytes` is the largest P-DATA that the peer takes. */
export function openOutbox(socket: Socket, pduBytes: number, seconds: number): Outbox {
  // Each fragment consists of an even number of octets (PS3.8 E.1).
  const fragmentBytes = (pduBytes - 6) & ~1;
  const pdus = Math.max(1, Math.floor(writeBytes / (fragmentBytes + headBytes)));
  const make = (): Chunk => ({
    bytes: Buffer.allocUnsafe(pdus * (fragmentBytes + headBytes)),
    written: Promise.resolve(),
  });
  const [first, second] = [make(), make()] as const;
  let current: Chunk = first;
  /** Where the open PDU begins, and where its next octet goes. */
  let head = 0;
  let at = 0;

  const flush = async (): Promise<void> => {
    const full = current;
    full.written = write(socket, full.bytes.subarray(0, at), seconds);
    // Whoever waits for this buffer later sees the failure.
    full.written.catch(() => undefined);
    current = full === first ? second : first;
    [head, at] = [0, 0];
    await current.written;
  };
  const begin = (): void => {
    head = at;
    at += headBytes;
  };
  const close = (contextId: number, isCommand: boolean, isLast: boolean): void =>
    void dataHead(contextId, isCommand, isLast, at - head - headBytes).copy(current.bytes, head);
  const fits = (): boolean => at + headBytes + fragmentBytes <= current.bytes.length;

  /** A PDU stays open until more comes or the message ends, since the last fragment must say that it is. */
  const append = async (contextId: number, isCommand: boolean, piece: Uint8Array): Promise<void> => {
    for (let from = 0; from < piece.length; ) {
      const room = fragmentBytes - (at - head - headBytes);
      if (room === 0) {
        close(contextId, isCommand, false);
        if (!fits()) await flush();
        begin();
        continue;
      }
      const some = Math.min(room, piece.length - from);
      current.bytes.set(piece.subarray(from, from + some), at);
      at += some;
      from += some;
    }
  };

  return {
    send: async (contextId, command, dataSet) => {
      await current.written;
      [head, at] = [0, 0];
      begin();
      await append(contextId, true, command);
      close(contextId, true, true);
      if (dataSet) {
        if (!fits()) await flush();
        begin();
        for await (const piece of dataSet) await append(contextId, false, piece);
        close(contextId, false, true);
      }
      await flush();
    },
  };
}

/** A body that tells when its last octet was read, which is not sent by then. */
export async function* followed(body: AsyncIterable<Uint8Array>, ended: () => void): AsyncGenerator<Uint8Array> {
  yield* body;
  ended();
}

async function write(socket: Socket, bytes: Uint8Array, seconds: number): Promise<void> {
  if (socket.destroyed) throw new Fault("PEER_UNREACHABLE", "the connection was lost while sending");
  const stuck = setTimeout(() => socket.destroy(), seconds * 1000);
  await new Promise<void>((resolve, reject) => {
    socket.write(bytes, (failed) => {
      clearTimeout(stuck);
      if (failed) reject(new Fault("PEER_UNREACHABLE", "the connection was lost while sending", { cause: failed }));
      else resolve();
    });
  });
}

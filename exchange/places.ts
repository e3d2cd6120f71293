/**
 * The REST service's connections among those that a site may have open, and each partner's share. Who has not shaken hands may be
 * anybody: all of those take no more places than one partner, and beyond all places the oldest of them goes.
 */
import type { Server } from "node:https";
import type { Socket } from "node:net";

/** How long one too many may be there without having asked for anything. */
const patienceMs = 5_000;

/** Connections that all listeners of a site have open together. */
export type Places = {
  readonly most: number;
  /** The function that comes back says that it is closed. */
  take(): () => void;
  isOver(): boolean;
};

/** Connections of one partner; whoever has a certificate and is no partner is one together. */
export type Shares = {
  readonly most: number;
  whose(socket: Socket): string;
  /** One has gone beyond its share, for the first time since it was within it. */
  exceeded(org: string): void;
};

export type Limit = "limits.connections" | "limits.connectionsOfOne";

/** Takes a place for each connection; says of which limit they were one too many when they had shaken hands. */
export function countConnections(
  server: Server,
  places: Places,
  shares: Shares,
): (socket: Socket) => Limit | undefined {
  const tooMany = new WeakMap<Socket, Limit>();
  /** By peer: the TLS socket of a connection does not tell which it is. */
  const connections = new Map<string, Connection>();
  const strangers = new Set<Connection>();
  const open = new Map<string, number>();
  const told = new Set<string>();
  server.on("connection", (socket: Socket) => {
    const peer = peerOf(socket);
    const leave = strangers.size < shares.most ? onlyOnce(places.take()) : undefined;
    const connection: Connection = { socket, leave };
    connections.set(peer, connection);
    strangers.add(connection);
    const [oldest] = strangers;
    if (strangers.size > places.most) oldest?.socket.destroy();
    socket.once("close", () => {
      connection.leave?.();
      strangers.delete(connection);
      if (connections.get(peer) === connection) connections.delete(peer);
    });
  });
  server.on("secureConnection", (socket: Socket) => {
    const connection = connections.get(peerOf(socket));
    if (connection) {
      strangers.delete(connection);
      connection.leave ??= onlyOnce(places.take());
    }
    if (places.isOver()) tooMany.set(socket, "limits.connections");
    const org = shares.whose(socket);
    const count = open.get(org) ?? 0;
    if (count < shares.most) {
      open.set(org, count + 1);
      socket.once("close", () => {
        const left = (open.get(org) ?? 1) - 1;
        if (left > 0) open.set(org, left);
        else open.delete(org);
        told.delete(org);
      });
      return;
    }
    // It takes no place from the others, and does not stay.
    tooMany.set(socket, "limits.connectionsOfOne");
    connection?.leave?.();
    const patience = setTimeout(() => socket.destroy(), patienceMs);
    socket.once("close", () => clearTimeout(patience));
    if (!told.has(org)) shares.exceeded(org);
    told.add(org);
  });
  return (socket) => tooMany.get(socket);
}

/** `leave` gives its place back, if it has one. */
type Connection = { readonly socket: Socket; leave: (() => void) | undefined };

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;

function onlyOnce(leave: () => void): () => void {
  let isLeft = false;
  return () => {
    if (!isLeft) leave();
    isLeft = true;
  };
}

/** The REST service's connections among those that a site may have open: one counts from its first octet on, handshake included. */
import type { Server } from "node:https";
import type { Socket } from "node:net";

/** Connections that all listeners of a site have open together. */
export type Places = {
  /** The function that comes back says that it is closed. */
  take(): () => void;
  isOver(): boolean;
};

/** Takes a place for each connection; says which were one too many when they had shaken hands. */
export function countConnections(server: Server, places: Places): (socket: Socket) => boolean {
  const tooMany = new WeakSet<Socket>();
  server.on("connection", (socket: Socket) => socket.once("close", places.take()));
  server.on("secureConnection", (socket: Socket) => {
    if (places.isOver()) tooMany.add(socket);
  });
  return (socket) => tooMany.has(socket);
}

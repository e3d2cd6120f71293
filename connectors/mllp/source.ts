/** MLLP source: listens for HL7 v2 messages and answers each from what `deliver` says, in the order they came. */
import type { Socket } from "node:net";
import { z } from "zod";
import { peerOf } from "../../tls.ts";
import type { Source } from "../connector.ts";
import { type Count, listenOn, seconds, tlsOptions } from "../wire.ts";
import { refusal } from "./answer.ts";
import { openBudget, within } from "./budget.ts";
import { type Connection, serve } from "./connection.ts";
import { frameOf } from "./framer.ts";

/** What was taken before a stop is answered within this time. */
const graceMs = 10_000;

const options = z.object({
  host: z.string().default("127.0.0.1").describe("Address to listen on."),
  port: z.int().min(0).max(65_535).describe("Port; 0 chooses a free one."),
  maxBytes: z
    .int()
    .min(1024)
    .default(64 * 1024 * 1024)
    .describe("Largest message, octets."),
  maxHeldBytes: z
    .int()
    .min(1024 * 1024)
    .default(256 * 1024 * 1024)
    .describe("Octets that all its connections may hold unanswered; beyond it one connection reads on at a time."),
  maxConnections: z
    .int()
    .min(1)
    .default(256)
    .describe("Connections at once; beyond it the oldest goes on which nothing was ever accepted."),
  maxPerAddress: z.int().min(1).default(64).describe("Connections at once from one address."),
  frameSeconds: seconds
    .default(30)
    .describe("An open frame must be whole within this time, or have grown by 4096 octets a second."),
  idleSeconds: seconds
    .optional()
    .describe("Closes a connection on which nothing came for so long; by default none is closed for being quiet."),
  release: z
    .union([z.literal(1), z.literal(2)])
    .default(1)
    .describe("MLLP release; 2 has a commit byte (06, or 15 for not kept) before the acknowledgement."),
  charset: z.string().default("from-msh-18").describe("Character set: from-msh-18, or a WHATWG label."),
  tls: tlsOptions,
});

export const mllpSource: Source<typeof options> = {
  name: "mllp",
  summary: "HL7 v2 messages over MLLP",
  options,
  example: "mllp: { listen: 127.0.0.1:2575, charset: from-msh-18, answer: validated }",
  listen: async (settings, deliver, context) => {
    const budget = within(openBudget(settings.maxHeldBytes), context.held);
    const open = new Map<Socket, Connection>();
    const byAddress = new Map<string, number>();
    const count = (address: string, by: 1 | -1): number => {
      const connections = (byAddress.get(address) ?? 0) + by;
      if (connections > 0) byAddress.set(address, connections);
      else byAddress.delete(address);
      return connections;
    };
    /** The oldest goes that may be anybody's: on a clear port strangers would keep out who has something to send. */
    const makeRoom = (short: string, address?: string): boolean => {
      const isOfIt = ({ remoteAddress }: Socket): boolean => address === undefined || remoteAddress === address;
      const [socket] = open.entries().find(([each, connection]) => connection.isStranger() && isOfIt(each)) ?? [];
      if (!socket) return false;
      const reason = `${short}; nothing that came on this one was ever accepted`;
      context.log("mllp.crowded", { peer: peerOf(socket), code: "PEER_BUSY", reason }, "warn");
      open.delete(socket);
      turnAway(socket);
      return true;
    };
    const turnAway = (socket: Socket): void => {
      socket.end(frameOf(refusal("too many connections; try again later", settings)));
      socket.destroySoon();
    };
    const serveOne = (socket: Socket, countIn: Count): void => {
      const connections = countIn();
      const address = socket.remoteAddress ?? "";
      const peer = peerOf(socket);
      const ofAddress = count(address, 1);
      socket.once("close", () => {
        open.delete(socket);
        count(address, -1);
      });
      const crowd =
        ofAddress > settings.maxPerAddress ? "as many connections of one address are open as maxPerAddress allows" : "";
      const short = [
        crowd,
        connections > settings.maxConnections
          ? "as many connections are open as maxConnections, or limits.connections, allow"
          : "",
        budget.hasRoom() ? "" : "as many octets in flight as maxHeldBytes, or limits.held, allow",
      ].find((each) => each !== "");
      const reason = short && !makeRoom(short, short === crowd ? address : undefined) ? short : "";
      if (reason) {
        context.log("mllp.refused", { peer, code: "PEER_BUSY", reason }, "warn");
        socket.on("error", () => undefined);
        turnAway(socket);
        return;
      }
      open.set(socket, serve(socket, peer, settings, budget, deliver, context));
    };
    const running = await listenOn({ ...settings, allowHalfOpen: true, graceMs }, serveOne, context);
    return {
      address: running.address,
      isListening: running.isListening,
      stop: async () => {
        const stopped = running.stop();
        for (const connection of open.values()) connection.drain();
        await stopped;
      },
    };
  },
};

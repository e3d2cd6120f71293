/** HL7 v2 servers of npm, each alone in this process: acknowledge at once, keep nothing. `node bench/mllp-peers.ts NAME PORT`. */
import { pathToFileURL } from "node:url";

/** Their packages are development dependencies of the bench alone; each starts listening on a port. */
const servers = {
  "node-hl7-server": async (port: number): Promise<void> => {
    const { Server } = await import("node-hl7-server");
    new Server({ bindAddress: "127.0.0.1" }).createInbound({ port }, async (_request, answer) => {
      await answer.sendResponse("AA");
    });
  },
  "@medplum/hl7": async (port: number): Promise<void> => {
    const { Hl7Server } = await import("@medplum/hl7");
    const server = new Hl7Server((connection) => {
      connection.addEventListener("message", ({ message }: { readonly message: { buildAck(): never } }) =>
        connection.send(message.buildAck()),
      );
    });
    await server.start(port);
  },
} as const;

export type PeerName = keyof typeof servers;
export const peerNames = Object.keys(servers) as readonly PeerName[];

const [, file = "", name = "", port = ""] = process.argv;
if (import.meta.url === pathToFileURL(file).href) await servers[name as PeerName](Number(port));

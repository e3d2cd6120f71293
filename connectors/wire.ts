/** TCP with or without TLS, the same for every connector: listening on an address, and reaching one. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import { z } from "zod";
import { cannotListen, Fault } from "../errors.ts";
import { onRefusedHandshake, peerOf, tlsProfile } from "../tls.ts";
import type { Context, Places, Running } from "./connector.ts";

/** A day: Node's timers fire at once where they should wait longer than 24, and no peer is waited for so long. */
export const maxSeconds = 86_400;
/** Seconds that a timer waits. */
export const seconds = z.number().positive().max(maxSeconds);

/** One block for every connector: keys as PEM text. */
export const tlsOptions = z
  .object({
    key: z.string().describe("Our private key, PEM."),
    certificate: z.string().describe("Our certificate, PEM."),
    ca: z.string().describe("Authorities of the other side, PEM."),
    clientCertificate: z.enum(["require", "none"]).default("require").describe("Whether callers must show one."),
    serverName: z.string().optional().describe("Name in the other's certificate, where it is not its host."),
  })
  .optional()
  .describe("TLS; without it the wire is clear.");
export type Tls = z.output<typeof tlsOptions>;

const handshakeMs = 10_000;
/** Connections of a listener that have not said who they are, so that they may be anybody's: for one too many the oldest goes. */
const maxStrangers = 128;
/** One read of a connection; one that is told to wait has at most one that nobody has asked for yet. */
export const readBytes = 65_536;

type Listening = {
  readonly host: string;
  readonly port: number;
  readonly tls?: Tls;
  /** Whether a peer that has sent all still gets its answers; `serve` then ends the connection itself. */
  readonly allowHalfOpen?: boolean;
  /** How long a connection may finish what it is at when the listener stops. */
  readonly graceMs: number;
};

/**
 * Counts a connection, once: it takes a place from here on. How many those are; past counting when the site has no place. Until then
 * it is a stranger's.
 */
export type Count = () => number;

/** Listens; `serve` gets each connection once it is safe to read. CONFIG_INVALID when the port is taken. */
export async function listenOn(
  { host, port, tls, allowHalfOpen = false, graceMs }: Listening,
  serve: (socket: Socket, count: Count) => void,
  { log, places }: Pick<Context, "log" | "places">,
): Promise<Running> {
  const sockets = new Set<Socket>();
  /** Connections that are not counted, by peer: the TLS socket of one does not tell which it is. */
  const strangers = new Map<string, Socket>();
  const tcp = { noDelay: true, highWaterMark: readBytes, allowHalfOpen };
  const server = tls ? createTlsServer({ ...tcp, ...serverSide(tls) }) : createServer(tcp);
  server.on("connection", (socket: Socket) => {
    const peer = peerOf(socket);
    sockets.add(socket);
    strangers.set(peer, socket);
    const [oldest] = strangers.values();
    if (strangers.size > maxStrangers) oldest?.destroy();
    socket.once("close", () => {
      sockets.delete(socket);
      if (strangers.get(peer) === socket) strangers.delete(peer);
    });
  });
  server.on(tls ? "secureConnection" : "connection", (socket: Socket) => {
    const peer = peerOf(socket);
    serve(socket, () => {
      strangers.delete(peer);
      const leave = places?.take();
      if (leave) socket.once("close", leave);
      return places?.isOver() ? Number.POSITIVE_INFINITY : sockets.size - strangers.size;
    });
  });
  onRefusedHandshake(server, (refused) => log("tls.refused", refused, "warn"));
  server.listen(port, host);
  await once(server, "listening").catch((cause: unknown) => {
    throw cannotListen(`${host}:${port}`, cause);
  });
  const bound = server.address() as AddressInfo;
  return {
    address: `${bound.address}:${bound.port}`,
    isListening: () => server.listening,
    stop: async () => {
      const stopped = stop(server, sockets, graceMs);
      // Nothing was taken on these: half closed, they would only wait for the end of their time.
      for (const socket of strangers.values()) socket.destroy();
      await stopped;
    },
  };
}

async function stop(server: Server, sockets: ReadonlySet<Socket>, graceMs: number): Promise<void> {
  const closed = once(server, "close");
  server.close();
  const patience = setTimeout(() => [...sockets].map((socket) => socket.destroy()), graceMs);
  await closed;
  clearTimeout(patience);
}

type Reaching = {
  readonly host: string;
  readonly port: number;
  readonly connectSeconds: number;
  readonly tls?: Tls;
};

/** A connection that is ready for octets. PEER_UNREACHABLE, or CERTIFICATE_INVALID when the other side is not who it should be. */
export async function reach(
  { host, port, connectSeconds, tls }: Reaching,
  where: string,
  signal: AbortSignal,
): Promise<Socket> {
  const socket = tls ? tlsConnect({ host, port, ...clientSide(tls, host) }) : connect({ host, port, noDelay: true });
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(connectSeconds * 1000)]);
    await once(socket, tls ? "secureConnect" : "connect", { signal: limit });
    socket.setNoDelay(true).on("error", () => undefined);
    return socket;
  } catch (cause) {
    socket.on("error", () => undefined).destroy();
    throw isCertificate(cause)
      ? new Fault(
          "CERTIFICATE_INVALID",
          `${where} showed no certificate that tls.trust accepts; compare it and serverName`,
          { cause },
        )
      : new Fault("PEER_UNREACHABLE", `${where} cannot be reached${whyNot(cause, tls)}`, { cause });
  }
}

/** Of a name nobody listens: what is to be looked at is another thing. */
const unnamed: ReadonlyMap<string, string> = new Map([
  ["ENOTFOUND", ": its name is not known here; correct it, or have it entered in the DNS"],
  ["EAI_AGAIN", ": the DNS does not answer for its name; see the resolver of this machine"],
]);

const whyNot = (cause: unknown, tls: Tls): string =>
  unnamed.get((cause as { code?: string }).code ?? "") ?? `; is it listening${tls ? ", with TLS" : ""}?`;

/** Places for so many connections. */
export function openPlaces(most: number): Places {
  let open = 0;
  return {
    most,
    take: () => {
      open += 1;
      return () => {
        open -= 1;
      };
    },
    isOver: () => open > most,
  };
}

const serverSide = ({ key, certificate, ca, clientCertificate }: NonNullable<Tls>) => {
  const isAsked = clientCertificate === "require";
  const asks = { requestCert: isAsked, rejectUnauthorized: isAsked };
  return {
    key,
    cert: certificate,
    ca,
    ...asks,
    ...tlsProfile,
    handshakeTimeout: handshakeMs,
  } as const;
};

const clientSide = ({ key, certificate, ca, serverName }: NonNullable<Tls>, host: string) => {
  const name = serverName ?? host;
  // An IP address is no server name (RFC 6066 3); it is compared with the certificate all the same.
  const servername = /^[\d.]+$|:/.test(name) ? {} : { servername: name };
  return { key, cert: certificate, ca, ...tlsProfile, ...servername } as const;
};

const isCertificate = (cause: unknown): boolean =>
  /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_VERIFY/.test((cause as { code?: string }).code ?? "");

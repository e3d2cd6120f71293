/** Ports for sites that are started again and again: free, and this process' own even while nobody listens on them. */
import { randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { Fault } from "../../errors.ts";

/** Below the range that systems take for outgoing connections: a site that restarts finds its port free again. */
const portRange = { from: 15_000, to: 32_000 } as const;
const maxProbes = 100;
const host = "127.0.0.1";

/** Until this process ends: see `claimed`. */
const claims: Socket[] = [];

const anyPort = (): number => randomInt(portRange.from, portRange.to);

/**
 * Ports that are free now, and that nobody else who asks here gets while this process lives; one that the environment names is
 * kept if nobody listens on it.
 *
 * @throws Fault ALREADY_RUNNING where somebody does; CONFIG_INVALID where none is free
 */
export async function ports(names: readonly string[], candidate = anyPort): Promise<Record<string, string>> {
  // All are held open until the last is chosen: no number comes twice.
  const probes = await Promise.allSettled(names.map((name) => probe(name, Number(process.env[name] ?? 0), candidate)));
  const held = probes.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  await Promise.all(held.map(async ({ server }) => await once(server.close(), "close")));
  const busy = probes.find((each) => each.status === "rejected");
  if (busy) throw busy.reason;
  return Object.fromEntries(names.map((name, index) => [name, String(held[index]?.port ?? "")]));
}

type Held = { readonly port: number; readonly server: Server };

async function probe(name: string, wanted: number, candidate: () => number): Promise<Held> {
  if (wanted > 0) {
    const server = await bound(wanted);
    if (server) return { port: wanted, server };
    throw new Fault(
      "ALREADY_RUNNING",
      `port ${wanted} (${name}) is busy; stop what listens there, or unset ${name} to have a free one chosen`,
    );
  }
  for (let attempt = 0; attempt < maxProbes; attempt += 1) {
    const port = candidate();
    const server = (await claimed(port)) && (await bound(port));
    if (server) return { port, server };
  }
  throw new Fault("CONFIG_INVALID", `no free port between ${portRange.from} and ${portRange.to}; set ${name}`);
}

/**
 * Takes the UDP port of that number for as long as this process lives. No site listens on UDP, so that it stands for the TCP port
 * while its site is down: another demo's house, started in that moment, would answer the first one's senders.
 */
async function claimed(port: number): Promise<boolean> {
  const socket = createSocket("udp4").unref();
  socket.bind({ port, address: host, exclusive: true });
  const isOurs = await once(socket, "listening").then(
    () => true,
    () => false,
  );
  if (isOurs) claims.push(socket);
  else socket.close();
  return isOurs;
}

async function bound(port: number): Promise<Server | undefined> {
  const server = createServer().listen(port, host);
  return await once(server, "listening").then(
    () => server,
    () => undefined,
  );
}

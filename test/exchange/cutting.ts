/** A line that is cut: TCP between a caller and a port, broken off after so many octets of what comes back. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export type Line = {
  readonly port: string;
  /** Octets that came back over it so far. */
  octets(): number;
  /** Connections that were broken off so far. */
  cuts(): number;
  /** Breaks the connection off that carries the octet in whose place `octets()` is this. */
  cutAt(octets: number): void;
  /** Lets nothing new through, or lets it through again. */
  block(isBlocked: boolean): void;
  close(): Promise<void>;
};

/** A line to where `target` says at the time. */
export async function openLine(target: () => string | undefined): Promise<Line> {
  const open = new Set<Socket>();
  const places: number[] = [];
  let [octets, cuts, isBlocked] = [0, 0, false];
  const server = createServer((near) => {
    const far = connect(Number(target()), "127.0.0.1");
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on("error", end).on("close", () => {
        open.delete(socket);
        end();
      });
    }
    if (isBlocked) return end();
    near.pipe(far);
    far.on("data", (chunk: Buffer) => {
      const [place = Number.POSITIVE_INFINITY] = places;
      const rest = chunk.subarray(0, Math.max(0, place - octets));
      octets += rest.length;
      if (!near.write(rest)) {
        far.pause();
        near.once("drain", () => far.resume());
      }
      if (octets < place) return;
      places.shift();
      cuts += 1;
      // What was let through arrives; only then is the line dead.
      near.end(() => end());
      far.removeAllListeners("data");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: String((server.address() as AddressInfo).port),
    octets: () => octets,
    cuts: () => cuts,
    cutAt: (place) => void places.push(place),
    block: (blocked) => {
      isBlocked = blocked;
    },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

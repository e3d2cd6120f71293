/**
 * What one TLS peer may cost before it has proven anything: envelopes at once, octets held, private-key operations, failures.
 * A peer over a limit is told to come back (429); the others notice nothing of it.
 */
import { failureLimit } from "../envelope/index.ts";
import { codeOf, Fault } from "../errors.ts";

/** Envelopes of one peer that are not verified yet. */
const maxUnverified = 4;
/** Octets of them that are held. */
const maxUnverifiedBytes = 256 * 1024 * 1024;
/** Private-key operations, one an envelope (decision 0005). */
const maxOpensPerSecond = 1_000;
const maxUnopenable = 20;
const unopenableMs = 60_000;

/** One envelope of a peer that was let in. */
export type Admitted = {
  /** Counts octets until the envelope is verified; PEER_BUSY beyond the limit. */
  counted(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** The signature holds: from here on the peer answers for it. */
  verified(): void;
  /** Every part of it held, or it was refused for another reason: it counts as no failure. */
  opened(): void;
  /** It is done with, however it ended. */
  left(): void;
};

export type PeerLimits = { admit(peer: string, now: Date): Admitted };

/** What fails here, whatever the peer has sent: it is no failure of the peer's. */
export const isOfHere = (thrown: unknown): boolean =>
  ["STORE_FULL", "STOPPING", "CLOCK_BEHIND", "REVOCATION_STALE"].includes(codeOf(thrown));

type Load = { unverified: number; bytes: number; opens: number; second: number };

const busy = (what: string): Fault => new Fault("PEER_BUSY", `${what} of this peer; it may try again`);

/** Limits of all peers of one service. */
export function peerLimits(): PeerLimits {
  const loads = new Map<string, Load>();
  const failures = failureLimit(maxUnopenable, unopenableMs);
  return {
    admit: (peer, now) => {
      const load = loads.get(peer) ?? { unverified: 0, bytes: 0, opens: 0, second: 0 };
      loads.set(peer, load);
      const second = Math.floor(now.getTime() / 1000);
      if (load.second !== second) [load.second, load.opens] = [second, 0];
      if (load.unverified >= maxUnverified) throw busy(`${maxUnverified} envelopes that are not verified`);
      if (load.opens >= maxOpensPerSecond) throw busy(`${maxOpensPerSecond} envelopes in one second`);
      const attempt = failures.attempt(peer, now);
      if (!attempt) throw busy(`${maxUnopenable} envelopes in a minute that did not open`);
      load.opens += 1;
      load.unverified += 1;
      let isVerified = false;
      let bytes = 0;
      const free = (): void => {
        if (isVerified) return;
        isVerified = true;
        load.unverified -= 1;
        load.bytes -= bytes;
      };
      return {
        counted: async function* (body) {
          for await (const chunk of body) {
            if (!isVerified) {
              bytes += chunk.length;
              load.bytes += chunk.length;
              if (load.bytes > maxUnverifiedBytes) throw busy(`${maxUnverifiedBytes} octets that are not verified`);
            }
            yield chunk;
          }
        },
        verified: free,
        opened: () => attempt.succeeded(),
        left: free,
      };
    },
  };
}

/**
 * What requests hold of the octets that a site may have in memory before they are on the disk. Of an envelope that is all of it
 * up to its signature, whose parts are gathered; behind that, and what a spool takes, passes through a mebibyte at a time.
 */
import type { Request } from "express";
import { type Spool, segmentBytes } from "../envelope/index.ts";
import { Fault } from "../errors.ts";

/** Octets that all listeners of a site hold together. */
export type HeldBudget = {
  /** `changed`: ask again whether to wait. */
  open(changed: () => void): { hold(bytes: number): void; isOver(): boolean; close(): void };
  hasRoom(): boolean;
};

/** What one request holds. */
export type Holding = {
  /** The same body; while the budget is over, what is not verified is not read on unless it has held for longest. */
  counted(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /** The same spool: what it takes is held no longer. */
  readonly spool: Spool;
  /** The signature holds: what comes now goes on to the disk. */
  verified(): void;
  left(): void;
};

type Caller = Pick<Request, "destroyed" | "once">;

/** A share of the budget for a request; PEER_BUSY when there is no room for one more. */
export function openHolding(budget: HeldBudget | undefined, request: Caller, spool: Spool): Holding {
  if (budget?.hasRoom() === false) throw new Fault("PEER_BUSY", "as many octets in flight as limits.held allows");
  let wake = (): void => undefined;
  const share = budget?.open(() => wake());
  request.once("close", () => wake());
  let [kept, passing, isPassing] = [0, 0, false];
  const turn = async (): Promise<void> => {
    while (share?.isOver() && !isPassing && !request.destroyed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await promise;
    }
  };
  return {
    counted: async function* (body) {
      for await (const chunk of body) {
        if (isPassing) passing = Math.min(passing + chunk.length, segmentBytes);
        else kept += chunk.length;
        share?.hold(kept + passing);
        yield chunk;
        await turn();
      }
    },
    spool: {
      write: async (cipher) => {
        const was = isPassing;
        isPassing = true;
        try {
          return await spool.write(cipher);
        } finally {
          isPassing = was;
        }
      },
    },
    verified: () => {
      isPassing = true;
    },
    left: () => share?.close(),
  };
}

/**
 * Octets that many connections hold together, each counted with what it has read ahead; over the limit only one reads on, so
 * that it can finish, and those that hold nothing, so that a flood of long messages keeps out no short one.
 */
import type { HeldBudget, Share } from "../connector.ts";
import { readBytes } from "../wire.ts";

/**
 * Shares of `maxBytes`. The connection that has held something for longest is never told to wait: else none might finish. One
 * that reads may have two reads of octets here before anybody can tell it to stop; one that holds nothing and has had a
 * message to its end is taken at its word.
 */
export function openBudget(maxBytes: number, read = readBytes): HeldBudget {
  const shares = new Map<Share, { held: number; counted: number; readonly changed: () => void }>();
  /** Those that hold something, in the order in which they began to. */
  const holders = new Set<Share>();
  let total = 0;
  let wasOver = false;
  let first: Share | undefined;
  const tell = (): void => {
    const isOver = total > maxBytes;
    const [next] = holders;
    if (isOver === wasOver && (!isOver || next === first)) return;
    wasOver = isOver;
    first = next;
    for (const { changed } of [...shares.values()]) changed();
  };
  return {
    open: (changed) => {
      const account = { held: 0, counted: 2 * read, changed };
      const count = (octets: number): void => {
        total += octets - account.counted;
        account.counted = octets;
      };
      const share: Share = {
        hold: (bytes) => {
          if (bytes === account.held || !shares.has(share)) return;
          account.held = bytes;
          if (bytes > 0) holders.add(share);
          else holders.delete(share);
          count(bytes > 0 ? Math.max(bytes, read) + read : 0);
          tell();
        },
        isOver: () => total > maxBytes && holders.has(share) && holders.values().next().value !== share,
        close: () => {
          holders.delete(share);
          count(0);
          if (shares.delete(share)) tell();
        },
      };
      shares.set(share, account);
      total += account.counted;
      return share;
    },
    hasRoom: () => shares.size === 0 || total + 2 * read <= maxBytes,
  };
}

/**
 * A listener's budget within its site's. Both see connections begin to hold in the same order, so that the one that may read
 * on for the site may read on for its listener, too.
 */
export const within = (own: HeldBudget, site: HeldBudget | undefined): HeldBudget =>
  site === undefined
    ? own
    : {
        open: (changed) => {
          const shares = [own.open(changed), site.open(changed)];
          return {
            hold: (bytes) => {
              for (const share of shares) share.hold(bytes);
            },
            isOver: () => shares.some((share) => share.isOver()),
            close: () => {
              for (const share of shares) share.close();
            },
          };
        },
        hasRoom: () => own.hasRoom() && site.hasRoom(),
      };

/**
 * Octets that many connections hold together: over the limit only one reads on, so that it can finish, and those that hold
 * nothing, so that a flood of long messages keeps out no short one. Beyond the limit that is one read a connection.
 */
import type { HeldBudget, Share } from "../connector.ts";

/** Shares of `maxBytes`. The connection that has held something for longest is never told to wait: else none might finish. */
export function openBudget(maxBytes: number): HeldBudget {
  const holders = new Map<Share, { bytes: number; readonly changed: () => void }>();
  const watchers = new Map<Share, () => void>();
  let total = 0;
  let wasOver = false;
  let first: Share | undefined;
  const tell = (): void => {
    const isOver = total > maxBytes;
    const [next] = holders.keys();
    if (isOver === wasOver && (!isOver || next === first)) return;
    wasOver = isOver;
    first = next;
    for (const changed of watchers.values()) changed();
  };
  return {
    open: (changed) => {
      const share: Share = {
        hold: (bytes) => {
          const before = holders.get(share)?.bytes ?? 0;
          if (bytes === before) return;
          total += bytes - before;
          if (bytes === 0) holders.delete(share);
          else {
            const held = holders.get(share);
            if (held) held.bytes = bytes;
            else holders.set(share, { bytes, changed });
          }
          tell();
        },
        isOver: () => total > maxBytes && holders.has(share) && holders.keys().next().value !== share,
        close: () => {
          share.hold(0);
          watchers.delete(share);
        },
      };
      watchers.set(share, changed);
      return share;
    },
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
      };

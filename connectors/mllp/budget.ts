/** Octets that all connections of a listener hold together: over the limit only one reads on, so that it can finish. */

export type Share = {
  /** How much this connection holds now. */
  hold(bytes: number): void;
  /** Whether it has to wait before it reads more. */
  isOver(): boolean;
  close(): void;
};

export type Budget = { open(changed: () => void): Share };

/** Shares of `maxBytes`. The connection that has held something for longest is never told to wait: else none might finish. */
export function openBudget(maxBytes: number): Budget {
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
        isOver: () => total > maxBytes && holders.keys().next().value !== share,
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

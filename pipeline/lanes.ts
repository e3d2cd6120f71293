/** Lanes: work of many senders side by side, a few pieces of each at once, and the senders in turn when all places are taken. */

export type Lanes = {
  /** Resolves with the function that gives the place back once there is one for this sender. */
  enter(sender: string): Promise<() => void>;
};

export type LaneLimits = { readonly perSender: number; readonly beside?: number; readonly total: number };

/** How many pieces in a row come of one sender until it counts as alone. */
const aloneAfter = 256;

/**
 * A sender never has more than `perSender` pieces under way, no more than `beside` while others come too, all together never
 * more than `total`. Who waits is served by turns, so that a backlog of one sender delays another by one turn and not by its length.
 */
export function openLanes({ perSender, beside = perSender, total }: LaneLimits): Lanes {
  const lanes = new Map<string, { busy: number; readonly waiting: (() => void)[] }>();
  let busy = 0;
  let last = "";
  let inRow = 0;
  const most = (): number => (inRow < aloneAfter ? beside : perSender);

  const serveNext = (): void => {
    for (const [sender, lane] of lanes) {
      if (busy >= total) return;
      if (lane.busy >= most()) continue;
      const next = lane.waiting.shift();
      if (!next) continue;
      // To the end of the line, where this loop comes by again: its turn is after everybody else's.
      lanes.delete(sender);
      lanes.set(sender, lane);
      next();
    }
  };

  return {
    enter: (sender) => {
      inRow = sender === last ? inRow + 1 : 0;
      last = sender;
      const lane = lanes.get(sender) ?? { busy: 0, waiting: [] };
      lanes.set(sender, lane);
      let isLeft = false;
      const leave = (): void => {
        if (isLeft) return;
        isLeft = true;
        busy -= 1;
        lane.busy -= 1;
        if (lane.busy === 0 && lane.waiting.length === 0) lanes.delete(sender);
        serveNext();
      };
      const take = (): void => {
        busy += 1;
        lane.busy += 1;
      };
      if (busy < total && lane.busy < most() && lane.waiting.length === 0) {
        take();
        return Promise.resolve(leave);
      }
      return new Promise((resolve) =>
        lane.waiting.push(() => {
          take();
          resolve(leave);
        }),
      );
    },
  };
}

/** The mark of a message that goes on the wire: durable before its first octet, and made together with that of the next ones. */
import { Fault } from "../errors.ts";
import type { Delivery, Id, Store } from "../store/store.ts";

/** One delivery, from the beginning of its attempt to its end. */
export type Turn = {
  /** Resolves once it is marked; STORE_CONFLICT when it was discarded meanwhile. */
  onTheWire(): Promise<void>;
  isOnTheWire(): boolean;
  end(): void;
};
type Waiting = Pick<Delivery, "id" | "attempts"> & { marked?: Promise<void> };

/**
 * Who has a connection takes those with it that wait for one there, as many as `aheadOf` says: their turn comes within a few
 * answers, and then none of them waits for the disk. While nobody has one, nobody is marked (decision 25).
 */
export function openMarks(
  { deliveries, commit }: Pick<Store, "deliveries" | "commit">,
  aheadOf: (destination: string) => number,
): (delivery: Delivery) => Turn {
  /** By destination, in the order in which they began. */
  const waiting = new Map<string, Set<Waiting>>();

  const markAll = (all: readonly Waiting[]): void => {
    if (all.length === 0) return;
    const ids = all.map(({ id }) => id);
    const marks = all.map(({ id, attempts }) => deliveries.take(id, attempts));
    const taken = commit(marks).then(() => new Set(deliveries.inflight(ids)));
    for (const each of all) {
      each.marked = taken.then((those: ReadonlySet<Id>) => {
        if (!those.has(each.id)) throw new Fault("STORE_CONFLICT", "it was discarded meanwhile");
      });
      // Who was only taken along asks again when its turn has come.
      each.marked.catch(() => delete each.marked);
    }
  };

  return (delivery) => {
    const { id, attempts, destination } = delivery;
    const own: Waiting = { id, attempts };
    const there = waiting.get(destination) ?? new Set();
    waiting.set(destination, there.add(own));
    const end = (): void => {
      there.delete(own);
      if (there.size === 0 && waiting.get(destination) === there) waiting.delete(destination);
    };
    let isOnTheWire = false;
    return {
      end,
      isOnTheWire: () => isOnTheWire,
      onTheWire: async () => {
        end();
        const others = [...there];
        const unmarked = others.filter(({ marked }) => !marked);
        const room = aheadOf(destination) - (others.length - unmarked.length);
        // Half of them at a time, so that a commit is of several.
        const next = own.marked && room < aheadOf(destination) / 2 ? [] : unmarked.slice(0, Math.max(0, room));
        markAll(own.marked ? next : [own, ...next]);
        await own.marked;
        isOnTheWire = true;
      },
    };
  };
}

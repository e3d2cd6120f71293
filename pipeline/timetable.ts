/**
 * A timetable: what is to be looked at and when, one look a key, one timer for all. Looks run one after the other. A clock that is
 * set meanwhile, by years perhaps, changes nothing about how long is waited: inside, times are monotonic.
 */

/** Looks once; resolves with when to look again (milliseconds since 1970), or undefined. */
export type Look = () => Promise<number | undefined>;

export type Timetable = {
  /** Looks at `due` at the latest; a look that is due earlier stays, since it will say itself when to look again. */
  by(key: string, due: number, look: Look): void;
  stop(): Promise<void>;
};

/** Longest sleep of the timer. */
const maxSleepMs = 3_600_000;

/** `failed` says when to look again after a look that threw. */
export function openTimetable(failed: (thrown: unknown) => number): Timetable {
  const looks = new Map<string, { readonly due: number; readonly look: Look }>();
  const heap: Due[] = [];
  let timer: NodeJS.Timeout | undefined;
  let armed = Number.POSITIVE_INFINITY;
  let running: Promise<void> = Promise.resolve();
  let isStopped = false;

  const by = (key: string, at: number, look: Look): void => {
    const due = performance.now() + at - Date.now();
    if ((looks.get(key)?.due ?? Number.POSITIVE_INFINITY) <= due) return;
    looks.set(key, { due, look });
    push(heap, { due, key });
    arm();
  };
  const arm = (): void => {
    const first = heap[0]?.due ?? Number.POSITIVE_INFINITY;
    if (isStopped || first >= armed) return;
    clearTimeout(timer);
    armed = first;
    timer = setTimeout(fire, Math.min(Math.max(0, Math.ceil(first - performance.now())), maxSleepMs));
  };
  const fire = (): void => {
    running = running.then(lookAtDue).finally(() => {
      armed = Number.POSITIVE_INFINITY;
      arm();
    });
  };
  const lookAtDue = async (): Promise<void> => {
    const now = performance.now();
    while (!isStopped && heap[0] && heap[0].due <= now) {
      const { key, due } = pop(heap) as Due;
      const current = looks.get(key);
      // An entry that was overtaken by an earlier one of its key.
      if (current?.due !== due) continue;
      looks.delete(key);
      const again = await current.look().catch(failed);
      if (again !== undefined) by(key, Math.max(again, Date.now() + 1), current.look);
    }
  };
  return {
    by,
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

type Due = { readonly due: number; readonly key: string };

/** A binary heap in an array, the earliest first. */
function push(heap: Due[], entry: Due): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if ((heap[parent] as Due).due <= entry.due) break;
    heap[at] = heap[parent] as Due;
    at = parent;
  }
  heap[at] = entry;
}

function pop(heap: Due[]): Due | undefined {
  const [first] = heap;
  const last = heap.pop();
  if (heap.length === 0 || !last) return first;
  let at = 0;
  for (;;) {
    const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
    const child = right && left && right.due < left.due ? 2 * at + 2 : 2 * at + 1;
    const smaller = heap[child];
    if (!smaller || smaller.due >= last.due) break;
    heap[at] = smaller;
    at = child;
  }
  heap[at] = last;
  return first;
}

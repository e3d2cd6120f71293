/** What a delivery waits for that is queued and has not failed: its time has come, and nothing else says why it rests. */
import type { Delivery, DeliveryState, Store } from "../store/store.ts";
import type { Stopped } from "./stops.ts";

type Line = Pick<Delivery, "id" | "channel" | "destination" | "reason"> & {
  readonly state: DeliveryState;
  readonly due: string;
};
const shortDigits = 8;

/** A line of a delivery says so. */
export function saysTurn<Told extends Line>(
  { store, stopped }: { readonly store: Pick<Store, "deliveries">; readonly stopped: Pick<Stopped, "paused"> },
  lines: readonly Told[],
  now: number,
): readonly Told[] {
  const [systems, channels] = [new Set(stopped.paused("system")), new Set(stopped.paused("channel"))];
  const turnOf = ({ id, channel, destination, due }: Line): string | null => {
    if (systems.has(destination) || channels.has(channel)) return "paused, or its channel is: semrs status";
    const before = store.deliveries.before(id);
    if (before) return `waits for ${before.slice(-shortDigits)}, which goes first: they keep their order`;
    return Date.parse(due) <= now ? `due; others to ${destination} go first` : null;
  };
  return lines.map((line) =>
    line.reason === null && ["queued", "ambiguous"].includes(line.state) ? { ...line, reason: turnOf(line) } : line,
  );
}

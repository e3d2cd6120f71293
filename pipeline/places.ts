/** How many deliveries to one destination are under way at once; one that is slow or down holds no other up. */
import type { Config } from "./config.ts";

const maxPerDestination = 4;
/** Messages to one HIS that are made ready and wait for a connection, or for the mark that they have arrived. */
const maxAhead = 32;

/**
 * A HIS gets as many messages at once as it takes connections: one that waits for a connection is not on the wire. So that
 * a connection need not wait for the disk between two of them, some more are made ready, where nobody has to decide about
 * them after a crash.
 */
export function placesOf(config: Config, destination: string): number {
  const { mllp, dicom } = config.own.systems[destination] ?? {};
  if (!mllp?.connect || dicom?.connect) return maxPerDestination;
  return mllp.connections + (mllp.ambiguous === "retry" && mllp.keepSeconds > 0 ? maxAhead : 0);
}

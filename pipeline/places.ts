/** How many deliveries to one destination are under way at once; one that is slow or down holds no other up. */
import type { Config } from "./config.ts";

const maxPerDestination = 4;
/** Messages to one HIS that are made ready and wait for a connection, or for the mark that they have arrived. */
const maxAhead = 32;
/** Those of them that are marked as on the wire while one before them is. */
const maxMarked = 8;

/**
 * A HIS gets as many messages at once as it takes connections: one that waits for a connection is not on the wire. So that
 * a connection need not wait for the disk between two of them, some more are made ready, where nobody has to decide about
 * them after a crash.
 */
export function placesOf(config: Config, destination: string): number {
  const { mllp, dicom } = config.own.systems[destination] ?? {};
  return !mllp?.connect || dicom?.connect ? maxPerDestination : mllp.connections + aheadOf(config, destination);
}

/**
 * More are looked for when so many, or fewer, are under way: at every place that is free, but for places ahead at half of
 * them, since to look costs a fifth of a delivery.
 */
export const refillAt = (config: Config, destination: string): number =>
  placesOf(config, destination) - Math.max(1, aheadOf(config, destination) / 2);

/** So many are marked with the one whose turn it is: none where a person would have to decide about them after a crash. */
export const markedAhead = (config: Config, destination: string): number =>
  Math.min(maxMarked, aheadOf(config, destination));

function aheadOf(config: Config, destination: string): number {
  const { mllp, dicom } = config.own.systems[destination] ?? {};
  const isAhead = mllp?.connect && !dicom?.connect && mllp.ambiguous === "retry" && mllp.keepSeconds > 0;
  return isAhead ? maxAhead : 0;
}

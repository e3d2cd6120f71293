/** What waits under the name of a channel that is in run no more: nothing looks at it until the channel is put back. */
import type { Config } from "./config.ts";
import type { Check } from "./readiness.ts";
import type { Balance } from "./reconcile.ts";

type Named = Pick<Config, "own">;
const isIn = ({ own }: Named, channel: string): boolean => own.channels.some(({ name }) => name === channel);

/** As last reconciled; what no channel took has none. */
export function goneChannels(config: Named, last: Pick<Balance, "channels"> | undefined): Check {
  const check = "channels";
  const gone = (last?.channels ?? []).flatMap(({ channel, queued, held, parked }) => {
    const left = queued + held + parked;
    return left === 0 || channel === "" || isIn(config, channel) ? [] : [`${left} of ${channel}`];
  });
  if (gone.length === 0) return { check, state: "pass", says: `${config.own.channels.length} in run` };
  const says = `not done: ${gone.join(", ")}, no longer in run; semrs journal list says what waits for that`;
  return { check, state: "warn", says };
}

/** A line of a document or an instance says so. */
export const saysGone = <
  Line extends { readonly channel: string; readonly state: string; readonly reason: string | null },
>(
  config: Named,
  lines: readonly Line[],
): readonly Line[] =>
  lines.map((line) => {
    if (!["waiting", "held"].includes(line.state) || isIn(config, line.channel)) return line;
    const gone = `channel ${line.channel} is no longer in run; put it back or discard this`;
    return { ...line, reason: line.reason === null ? gone : `${gone} (${line.reason})` };
  });

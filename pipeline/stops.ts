/** Pause, resume and drain of channels and systems: what a person says, in force at once and after every restart. */
import { Fault } from "../errors.ts";
import type { Stop, StopKind } from "../store/stops.ts";
import type { Store } from "../store/store.ts";
import type { Site } from "./site.ts";

export type Stopped = {
  /** Names of a kind that nothing is sent for. */
  paused(kind: StopKind): readonly string[];
  /** STOPPING while nothing more is taken in for it. */
  admit(kind: StopKind, name: string): void;
  /** After the rows have changed. */
  renew(): void;
};

/** The stops of a store, held for every message to be asked. */
export function openStopped({ stops }: Store): Stopped {
  let known = stops.list();
  return {
    paused: (kind) => known.filter((each) => each.kind === kind && each.mode === "paused").map(({ name }) => name),
    admit: (kind, name) => {
      const stop = known.find((each) => each.kind === kind && each.name === name && each.mode === "draining");
      if (stop) throw new Fault("STOPPING", `${kind} ${name} is being drained; send again once it is resumed`);
    },
    renew: () => {
      known = stops.list();
    },
  };
}

/** A stop with what is left to be done for it. */
export type StopLine = Stop & { readonly left: number };

/** All of them. */
export const stopLines = ({ stops }: Store): readonly StopLine[] =>
  stops.list().map((stop) => ({ ...stop, left: stops.left(stop.kind, stop.name) }));

const verbs = { pause: "paused", drain: "draining", resume: "running" } as const;
export type StopVerb = keyof typeof verbs;
export type ToldStop = { readonly kind: StopKind; readonly name: string; readonly mode: string; readonly left: number };

/** `query`: the name of a channel, system or partner, with `channel:` or `system:` before it where both have it. */
export async function stop(site: Site, query: string, verb: StopVerb, reason: string): Promise<ToldStop> {
  const { store, now, log } = site;
  const { kind, name } = named(site, query);
  if (verb === "drain" && !(name in site.config.own.systems) && kind === "system")
    throw new Fault("QUERY_INVALID", `${name} is a partner: pause it, or drain the channels that send to it`);
  const mode = verbs[verb];
  const since = now().toISOString();
  await store.commit([
    mode === "running" ? store.stops.end(kind, name) : store.stops.put({ kind, name, mode, reason, since }),
  ]);
  site.stopped.renew();
  log(`admin.${mode}`, { ...(kind === "channel" ? { channel: name } : { peer: name }), reason }, "warn");
  site.wake();
  return { kind, name, mode, left: store.stops.left(kind, name) };
}

/** What was stopped may be resumed though the configuration no longer has it. */
function named({ config, store }: Site, query: string): { readonly kind: StopKind; readonly name: string } {
  const [, prefix, name = query] = /^(channel|system):(.+)$/.exec(query) ?? [];
  const stopped = store.stops.list();
  const known: Readonly<Record<StopKind, readonly string[]>> = {
    channel: config.own.channels.map((channel) => channel.name),
    system: [...Object.keys(config.own.systems), ...Object.keys(config.partners).filter((org) => org !== config.site)],
  };
  const is = (kind: StopKind): boolean =>
    (prefix === undefined || prefix === kind) &&
    (known[kind].includes(name) || stopped.some((each) => each.kind === kind && each.name === name));
  const kinds = (["channel", "system"] as const).filter(is);
  if (kinds.length > 1)
    throw new Fault("QUERY_INVALID", `${name} is a channel and a system; say channel:${name} or system:${name}`);
  const [kind] = kinds;
  if (!kind)
    throw new Fault(
      "QUERY_INVALID",
      `there is no ${query}; there is ${[...known.channel, ...known.system].join(", ")}`,
    );
  return { kind, name };
}

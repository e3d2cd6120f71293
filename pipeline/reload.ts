/**
 * Hot reload: the file is read anew, and what may change while a site runs takes the place of what was. A file that is wrong, or
 * that changes something only a start can, changes nothing at all. All stations share one `Config` and look a thing up when
 * they need it, so its parts are replaced within it, between two turns of the loop.
 */
import { Fault, reasonOf } from "../errors.ts";
import { inboundChannels } from "./channels.ts";
import type { Config, System } from "./config.ts";
import { findingText } from "./config-findings.ts";
import { crlStaleOf, loadPartners } from "./identity.ts";
import type { Site } from "./site.ts";
import { renewModules } from "./transform.ts";

export type Reloaded = { readonly changed: readonly string[]; readonly warnings: readonly string[] };

/** Keys of a system that are looked up for each message; all others belong to a listener that is open. */
const live: Readonly<Record<keyof System, readonly string[]>> = {
  mllp: [
    ...["connect", "standby", "keepSeconds", "connectSeconds", "responseSeconds", "connections", "awaits"],
    ...["answer", "within", "refusals", "ambiguous", "sends", "authorities", "authority"],
  ],
  dicom: ["associations", "proof", "proofSeconds", "connectSeconds", "responseSeconds"],
  directory: [],
  window: ["between", "timeZone"],
};

/** CONFIG_INVALID with a line for each problem, and its place; else what has changed. */
export function reload({ config, log, renew }: Pick<Site, "config" | "log" | "renew">): Reloaded {
  try {
    const { findings, config: next } = config.reread();
    const texts = findings.map(findingText);
    if (!next) throw new Fault("CONFIG_INVALID", texts.join("\n"));
    const [now, then] = [settings(config), settings(next)];
    const changed = differing(now, then);
    const stuck = changed.filter((path) => !isLive(path));
    if (stuck.length > 0) throw new Fault("CONFIG_INVALID", stuck.map((path) => needsStart(next, path)).join("\n"));
    const partners = loadPartners(next);
    const { own } = config;
    Object.assign(own, next.own);
    Object.assign(config, next, { own });
    renewModules();
    const renewed = renew(partners).map((org) => `certificates of ${org}`);
    for (const warning of texts) log("config.warned", { reason: warning }, "warn");
    const all = [...changed, ...renewed];
    log("config.reloaded", { count: all.length, reason: all.join(", ") });
    return { changed: all, warnings: texts };
  } catch (thrown) {
    log("config.refused", { code: "CONFIG_INVALID", reason: reasonOf(thrown) }, "error");
    throw thrown;
  }
}

const crlStale = "open.crlStale";

function needsStart(next: Config, path: string): string {
  const written = path === crlStale ? strictest(next) : path;
  return `${next.placeOf(written.split("."))} ${written} cannot be changed while the site runs; restart it`;
}

/** Whose list may be least stale: what all channels go by stands there, or in none of them. */
function strictest(config: Config): string {
  const [first] = inboundChannels(config).toSorted((one, other) => one.open.crlStale - other.open.crlStale);
  return first ? `channels.${first.name}.${crlStale}` : `sites.${config.site}.run`;
}

/** Settings by the path at which the file has them. */
function settings(config: Config): ReadonlyMap<string, string> {
  const { site, own } = config;
  const at = ["sites", site];
  const found = new Map<string, string>();
  const put = (path: readonly string[], value: unknown): void =>
    void found.set(path.join("."), JSON.stringify(value ?? null, entries));
  put(["site"], site);
  for (const key of [
    "keys",
    "data",
    "admin",
    "disk",
    "alerts",
    "retention",
    "limits",
    "repository",
    "registry",
  ] as const)
    put([...at, key], own[key]);
  put([...at, "registry", "access"], own.access);
  const partners = Object.entries(config.partners);
  put(
    ["partners"],
    partners.map(([name, { window: _live, ...partner }]) => [name, partner]),
  );
  for (const [name, { window }] of partners) put(["partners", name, "window"], window);
  for (const key of ["timeZone", "identifiers", "trust", "registryPartner", "delivery"] as const)
    put([key], config[key]);
  for (const [name, system] of Object.entries(own.systems))
    for (const [protocol, options] of Object.entries(system))
      for (const [key, value] of Object.entries(options ?? {})) put([...at, "systems", name, protocol, key], value);
  put(
    [...at, "run"],
    own.channels.map(({ name }) => name),
  );
  for (const channel of own.channels) {
    // With what it names outside the file: rule sets and tables of lookups.
    put(["channels", channel.name], [channel, own.checks[channel.name], own.transforms[channel.name]]);
  }
  put([crlStale], crlStaleOf(config));
  return found;
}

const entries = (_key: string, value: unknown): unknown => (value instanceof Map ? [...value] : value);

const differing = (now: ReadonlyMap<string, string>, then: ReadonlyMap<string, string>): readonly string[] =>
  [...new Set([...now.keys(), ...then.keys()])].filter(
    (path) => (now.get(path) ?? "null") !== (then.get(path) ?? "null"),
  );

const livePaths =
  /^(timeZone|identifiers|delivery|partners\.[^.]+\.window|channels\.[^.]+|sites\.[^.]+\.(run|retention))$/;

function isLive(path: string): boolean {
  const [, protocol, key] = /^sites\.[^.]+\.systems\.[^.]+\.([^.]+)\.([^.]+)$/.exec(path) ?? [];
  if (protocol !== undefined && key !== undefined) return live[protocol as keyof System]?.includes(key) ?? false;
  return livePaths.test(path);
}

/** Rules of channels.yaml that no schema says: names that must exist, ports, clear text, identity. */
import type { z } from "zod";
import type { Channel, Problem } from "./config.ts";
import type { schema } from "./config-schema.ts";

type File = z.output<typeof schema>;

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || host.startsWith("127.");

/** Everything that is wrong beyond the schema. */
export function* findConflicts(file: File, channels: readonly Channel[]): Generator<Problem> {
  const own = file.sites[file.site];
  if (!own) yield { path: ["site"], message: `${file.site} is not among the sites` };
  for (const [site, { systems, run, admin }] of Object.entries(file.sites)) {
    if (!isLoopback(admin.listen.host))
      yield { path: ["sites", site, "admin", "listen"], message: "the admin port must be on loopback" };
    for (const [index, name] of run.entries()) {
      const channel = channels.find((each) => each.name === name);
      if (!channel) yield { path: ["sites", site, "run", index], message: `no channel ${name}` };
      else yield* missingNames(file, channel, Object.keys(systems), site);
    }
    for (const [system, { mllp, dicom }] of Object.entries(systems)) {
      const path = ["sites", site, "systems", system];
      yield* clearText([...path, "mllp"], mllp);
      yield* clearText([...path, "dicom"], dicom);
      if (dicom?.listen && !isLoopback(dicom.listen.host) && dicom.callers.length === 0) {
        yield { path: [...path, "dicom", "listen"], message: "off this machine callers must be listed" };
      }
      if (dicom?.connect && !dicom.calledAeTitle)
        yield { path: [...path, "dicom", "connect"], message: "calledAeTitle is required with connect" };
    }
  }
  if (own) yield* samePorts(file.site, own);
  for (const channel of channels) if (channel.kind === "inbound") yield* identities(channel);
}

function* missingNames(file: File, channel: Channel, systems: readonly string[], site: string): Generator<Problem> {
  const path = ["channels", channel.name];
  const unknown = (name: string) => !systems.includes(name);
  if (channel.kind === "outbound") {
    for (const [index, name] of channel.source.entries()) {
      if (unknown(name)) yield { path: [...path, "source", index], message: `${site} has no system ${name}` };
    }
    for (const [index, to] of channel.route.entries()) {
      if (to !== "repository" && !file.partners[to])
        yield { path: [...path, "route", index], message: `no partner ${to}; write repository or a partner's name` };
    }
    return;
  }
  for (const [index, when] of channel.fetch.when.entries()) {
    if ("admission" in when && unknown(when.admission))
      yield { path: [...path, "fetch", "when", index], message: `${site} has no system ${when.admission}` };
    for (const partner of "push" in when ? when.push : []) {
      if (!file.partners[partner]) yield { path: [...path, "fetch", "when", index], message: `no partner ${partner}` };
    }
  }
  for (const [index, { to }] of channel.deliver.entries()) {
    if (unknown(to)) yield { path: [...path, "deliver", index, "to"], message: `${site} has no system ${to}` };
  }
}

type Wire = {
  readonly listen?: { host: string } | undefined;
  readonly connect?: { host: string } | undefined;
  readonly clearText?: string | undefined;
};

function* clearText(path: readonly PropertyKey[], wire: Wire | undefined): Generator<Problem> {
  for (const key of ["listen", "connect"] as const) {
    const address = wire?.[key];
    if (address && !isLoopback(address.host) && !wire?.clearText) {
      yield { path: [...path, key], message: 'off this machine without TLS: say why with clearText: "<reason>"' };
    }
  }
}

function* samePorts(site: string, own: File["sites"][string]): Generator<Problem> {
  const taken = new Map<number, string>();
  const listeners: (readonly [string, { port: number } | undefined])[] = [
    ["admin", own.admin.listen],
    ["repository", own.repository?.listen],
    ["registry", own.registry?.listen],
    ...Object.entries(own.systems).flatMap(([name, { mllp, dicom }]) => [
      [`systems.${name}.mllp`, mllp?.listen] as const,
      [`systems.${name}.dicom`, dicom?.listen] as const,
    ]),
  ];
  for (const [where, address] of listeners) {
    if (!address || address.port === 0) continue;
    const other = taken.get(address.port);
    if (other)
      yield {
        path: ["sites", site, ...where.split("."), "listen"],
        message: `port ${address.port} is taken by ${other} already`,
      };
    taken.set(address.port, where);
  }
}

function* identities(channel: Extract<Channel, { kind: "inbound" }>): Generator<Problem> {
  for (const [index, { identity, because }] of channel.deliver.entries()) {
    const path = ["channels", channel.name, "deliver", index];
    if (identity === "ours") {
      yield {
        path: [...path, "identity"],
        message: "identity: ours is not available in this version; write identity: original, and because",
      };
    } else if (!because) yield { path, message: "identity: original needs because" };
  }
}

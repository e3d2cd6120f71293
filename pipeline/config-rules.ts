/** Rules of channels.yaml that no schema says and that keep a site from starting: names, ports, clear text, identity. */
import { isIP, isIPv4 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { Channel } from "./config.ts";
import type { Problem } from "./config-file.ts";
import type { File, House } from "./config-schema.ts";
import { nearest } from "./config-suggest.ts";
import { ledgers } from "./remembered.ts";

/** By its name or address: `127.example.org` is a host anywhere. */
const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host === "[::1]" || (isIPv4(host) && host.startsWith("127."));

/** Everything that is wrong beyond the schema. */
export function* findConflicts(file: File, channels: readonly Channel[]): Generator<Problem> {
  const names = Object.keys(file.sites);
  if (!Object.hasOwn(file.sites, file.site)) yield unknown(["site"], "this file has no site", file.site, names);
  yield* authorities(file);
  yield* legacy(file);
  for (const [name, { relays }] of Object.entries(file.partners))
    yield* missingPartners(file, relays, ["partners", name, "relays"]);
  const partners = Object.keys(file.partners);
  for (const [name, { owner }] of Object.entries(file.identifiers))
    if (owner !== undefined && !partners.includes(owner) && !names.includes(owner))
      yield unknown(["identifiers", name, "owner"], "there is no partner", owner, partners);
  for (const [site, own] of Object.entries(file.sites)) {
    const at = ["sites", site];
    if (!isLoopback(own.admin.listen.host))
      yield { code: "CONFIG_ADMIN", path: [...at, "admin", "listen"], message: "the admin port must be on loopback" };
    for (const [index, name] of own.run.entries()) {
      const channel = channels.find((each) => each.name === name);
      if (channel) yield* missingNames(file, channel, own, site);
      else {
        const defined = channels.map((each) => each.name);
        yield unknown([...at, "run", index], "there is no channel", name, defined);
      }
    }
    for (const [system, { mllp, dicom }] of Object.entries(own.systems)) {
      const message = `${system} is a name that SEMRS keeps for itself; call the system something else`;
      if (Object.hasOwn(ledgers, system)) yield { code: "CONFIG_NAME", path: [...at, "systems", system], message };
      yield* wires([...at, "systems", system], mllp, dicom);
    }
    yield* samePorts(site, own);
    yield* oneService(site, own);
    for (const [index, { orgs = [] }] of (own.registry?.access ?? []).entries())
      yield* missingPartners(file, orgs, [...at, "registry", "access", index, "orgs"]);
  }
  for (const channel of channels) {
    yield* channel.kind === "inbound" ? identities(channel) : shadows(channel);
    yield* twice(channel);
  }
}

function* missingPartners(
  { partners }: File,
  orgs: readonly string[],
  path: readonly PropertyKey[],
): Generator<Problem> {
  const known = Object.keys(partners);
  for (const [index, org] of orgs.entries())
    if (!known.includes(org)) yield unknown([...path, index], "there is no partner", org, known);
}

function unknown(path: readonly PropertyKey[], what: string, name: string, known: readonly string[]): Problem {
  const meant = nearest(name, known);
  const help = meant ? `did you mean "${meant}"?` : `there is ${known.length > 0 ? known.join(", ") : "none yet"}`;
  return { code: "CONFIG_NAME", path, message: `${what} ${name}; ${help}` };
}

/** semrs-2017 signs neither headers nor images: it is wanted in so many words, alone, and never by who is asked or told anything. */
function* legacy({ partners, registryPartner }: File): Generator<Problem> {
  for (const [name, { profiles, allowLegacy }] of Object.entries(partners)) {
    const at = (key: string, message: string): Problem => ({
      code: "CONFIG_LEGACY",
      path: ["partners", name, key],
      message,
    });
    if (!profiles.includes("semrs-2017")) {
      if (allowLegacy) yield at("allowLegacy", "stands only beside profiles: [semrs-2017]; remove it");
      continue;
    }
    if (!allowLegacy) yield at("profiles", "semrs-2017 signs neither headers nor images: it needs allowLegacy: true");
    if (profiles.length > 1) yield at("profiles", "semrs-2017 stands alone: whoever can do better is not sent less");
    if (name === registryPartner) yield at("profiles", "semrs-2017 carries documents; the registry is asked and told");
  }
}

/** One name on the wire means one namespace, or a patient would be two. */
function* authorities(file: File): Generator<Problem> {
  for (const list of ["roots", "authorities"] as const) {
    const owner = new Map<string, string>();
    for (const [name, identifier] of Object.entries(file.identifiers)) {
      for (const [index, value] of identifier[list].entries()) {
        const other = owner.get(value);
        const path = ["identifiers", name, list, index];
        if (other) yield { code: "CONFIG_AUTHORITY_TWICE", path, message: `${value} belongs to ${other} already` };
        owner.set(value, name);
      }
    }
  }
}

function* missingNames(file: File, channel: Channel, { systems, repository }: House, site: string): Generator<Problem> {
  const path = ["channels", channel.name];
  const known = Object.keys(systems);
  const partners = Object.keys(file.partners);
  const system = (name: string, where: readonly PropertyKey[]): Problem[] =>
    known.includes(name) ? [] : [unknown([...path, ...where], `${site} has no system`, name, known)];
  const partner = (name: string, where: readonly PropertyKey[]): Problem[] =>
    partners.includes(name) ? [] : [unknown([...path, ...where], "there is no partner", name, partners)];
  const registry = (what: string, where: readonly PropertyKey[]): Problem[] =>
    partners.includes(file.registryPartner) ? [] : [unknown([...path, ...where], what, file.registryPartner, partners)];
  const registering = (where: readonly PropertyKey[]): Problem[] => {
    const message = `${site} has no repository, from which others could retrieve; add repository: { listen: "host:port" }`;
    const unreached = { code: "CONFIG_DESTINATION", path: [...path, ...where], message } as const;
    return [...(repository ? [] : [unreached]), ...registry("there is no registry to tell, no partner", where)];
  };
  if (channel.kind === "outbound") {
    for (const [index, name] of channel.source.entries()) yield* system(name, ["source", index]);
    for (const key of ["expect", "pull"] as const) {
      const asked = channel.assemble?.study[key];
      const where = ["assemble", "study", key] as const;
      if (asked) yield* system(asked, where);
      if (asked && systems[asked] && !systems[asked].dicom?.connect) {
        const message = `${asked} of ${site} has no dicom.connect, where it could be asked`;
        yield { code: "CONFIG_DESTINATION", path: [...path, ...where], message };
      }
    }
    for (const [index, to] of channel.route.entries()) {
      if (to === "repository") yield* registering(["route", index]);
      else if (to !== "none") yield* partner(to, ["route", index]);
    }
    return;
  }
  for (const [index, when] of channel.fetch.when.entries()) {
    if ("admission" in when) yield* system(when.admission, ["fetch", "when", index]);
    if (!("push" in when)) yield* registry("there is no registry to ask, no partner", ["fetch", "when", index]);
    for (const name of "push" in when ? when.push : []) yield* partner(name, ["fetch", "when", index]);
  }
  for (const [index, { to }] of channel.deliver.entries()) {
    yield* system(to, ["deliver", index, "to"]);
    const own = systems[to];
    if (own && !own.mllp?.connect && !own.dicom?.connect)
      yield {
        code: "CONFIG_DESTINATION",
        path: [...path, "deliver", index, "to"],
        message: `${to} of ${site} has no connect`,
      };
  }
}

type Wire = {
  readonly listen?: { host: string } | undefined;
  readonly connect?: { host: string } | undefined;
  readonly clearText?: string | undefined;
  readonly tls?: { readonly clientCertificate: string } | undefined;
};
type References = {
  readonly references: readonly { readonly prefix: string; readonly clearText?: string | undefined }[];
};
type Mllp = Wire & References & { readonly standby: readonly { host: string }[] };
type Dicom = Wire & {
  readonly callers: readonly {
    readonly aeTitle?: string | undefined;
    readonly address?: string | undefined;
    readonly subject?: string | undefined;
    readonly commitmentTo?: { host: string } | undefined;
  }[];
  readonly calledAeTitle?: string | undefined;
};

function* wires(path: readonly PropertyKey[], mllp: Mllp | undefined, dicom: Dicom | undefined): Generator<Problem> {
  yield* references([...path, "mllp"], mllp);
  const standby = mllp?.standby.map((address, index) => [["standby", index], address] as const);
  const reports = dicom?.callers.map(({ commitmentTo }, n) => [["callers", n, "commitmentTo"], commitmentTo] as const);
  yield* clearText([...path, "mllp"], mllp, standby);
  yield* clearText([...path, "dicom"], dicom, reports);
  if (dicom?.listen && !isLoopback(dicom.listen.host)) {
    if (dicom.callers.length === 0) {
      const message = "off this machine callers must be listed";
      yield { code: "CONFIG_CALLERS", path: [...path, "dicom", "listen"], message };
    }
    for (const [n, { aeTitle, address, subject }] of dicom.callers.entries()) {
      if (aeTitle ?? address ?? subject) continue;
      const message = "fits anybody: add aeTitle, address or subject";
      yield { code: "CONFIG_CALLERS", path: [...path, "dicom", "callers", n], message };
    }
  }
  if (dicom?.callers.some(({ subject }) => subject !== undefined) && !isShown(dicom.tls)) {
    const message = "a subject is compared with a client certificate: tls that requires one is needed";
    yield { code: "CONFIG_CALLERS", path: [...path, "dicom", "callers"], message };
  }
  if (dicom?.connect && !dicom.calledAeTitle)
    yield {
      code: "CONFIG_DESTINATION",
      path: [...path, "dicom", "connect"],
      message: "calledAeTitle is required with connect",
    };
}

/** Whether a caller shows a certificate. */
const isShown = (tls: Wire["tls"]): boolean => tls?.clientCertificate === "require";

function* references(path: readonly PropertyKey[], mllp: References | undefined): Generator<Problem> {
  for (const [index, { prefix, clearText: reason }] of (mllp?.references ?? []).entries()) {
    const { protocol, hostname, username } = new URL(prefix);
    const at = [...path, "references", index, "prefix"];
    if (username !== "") yield { code: "CONFIG_VALUE", path: at, message: "a name and password do not belong here" };
    if (protocol === "http:" && !isLoopback(hostname) && !reason) {
      const message = 'off this machine without TLS: write https:, or say why with clearText: "<reason>"';
      yield { code: "CONFIG_CLEAR_TEXT", path: at, message };
    }
  }
}

type Address = readonly [key: readonly PropertyKey[], address: { host: string } | undefined];

/** `further`: where else the wire leads, beside `listen` and `connect`. */
function* clearText(
  path: readonly PropertyKey[],
  wire: Wire | undefined,
  further: readonly Address[] = [],
): Generator<Problem> {
  if (wire?.tls && wire.clearText)
    yield {
      code: "CONFIG_CLEAR_TEXT",
      path: [...path, "clearText"],
      message: "says why there is no TLS, but there is; remove one",
    };
  for (const [key, address] of [[["listen"], wire?.listen], [["connect"], wire?.connect], ...further] as const) {
    if (!address || isLoopback(address.host) || wire?.clearText || wire?.tls) continue;
    const message = 'off this machine without TLS: add tls: {}, or say why with clearText: "<reason>"';
    yield { code: "CONFIG_CLEAR_TEXT", path: [...path, ...key], message };
  }
}

function* samePorts(site: string, own: House): Generator<Problem> {
  const taken: { readonly where: string; readonly host: string; readonly port: number }[] = [];
  const listeners: (readonly [string, { host: string; port: number } | undefined])[] = [
    ["admin", own.admin.listen],
    ["repository", own.repository?.listen],
    ["registry", own.repository ? undefined : own.registry?.listen],
    ...Object.entries(own.systems).flatMap(([name, { mllp, dicom }]) => [
      [`systems.${name}.mllp`, mllp?.listen] as const,
      [`systems.${name}.dicom`, dicom?.listen] as const,
    ]),
  ];
  for (const [where, address] of listeners) {
    if (!address || address.port === 0) continue;
    const { host, port } = address;
    const other = taken.find((each) => each.port === port && meet(each.host, host));
    const path = ["sites", site, ...where.split("."), "listen"];
    if (other) yield { code: "CONFIG_PORT_TWICE", path, message: `port ${port} is taken by ${other.where} already` };
    taken.push({ where, host, port });
  }
}

/** A house that is the registry as well serves both at one address; at another one nobody would listen. */
function* oneService(site: string, { repository, registry }: House): Generator<Problem> {
  if (!repository || !registry || isDeepStrictEqual(repository.listen, registry.listen)) return;
  const { host, port } = repository.listen;
  const message = `a house has one REST service: listen at ${host}:${port} as its repository does`;
  yield { code: "CONFIG_VALUE", path: ["sites", site, "registry", "listen"], message };
}

/** Whether one port of both may be the same: not of two addresses of this machine, unless one of them is all of them. */
const meet = (one: string, other: string): boolean =>
  one === other || [one, other].some((host) => !isIP(host) || /^(0\.0\.0\.0|::)$/.test(host));

/** What is named twice would get everything twice. */
function* twice(channel: Channel): Generator<Problem> {
  const [key, ways] =
    channel.kind === "inbound"
      ? (["deliver", channel.deliver.map(({ to, as }) => `${to} ${JSON.stringify(as)}`)] as const)
      : (["route", channel.route] as const);
  for (const [index, way] of ways.entries()) {
    if (ways.indexOf(way) === index) continue;
    const message = `${way.split(" ")[0]} is in this list already, and would get everything twice`;
    yield { code: "CONFIG_NAME", path: ["channels", channel.name, key, index], message };
  }
}

function* identities(channel: Extract<Channel, { kind: "inbound" }>): Generator<Problem> {
  for (const [index, { identity, because }] of channel.deliver.entries()) {
    const path = ["channels", channel.name, "deliver", index];
    if (identity === "original" && !because)
      yield { code: "CONFIG_IDENTITY", path, message: "identity: original needs because" };
  }
}

function* shadows({ name, route, because }: Extract<Channel, { kind: "outbound" }>): Generator<Problem> {
  if (!route.includes("none")) return;
  const path = ["channels", name, "route"];
  if (route.length > 1) yield { code: "CONFIG_SHADOW", path, message: "none stands alone" };
  else if (!because) yield { code: "CONFIG_SHADOW", path, message: "route: [none] needs because" };
}

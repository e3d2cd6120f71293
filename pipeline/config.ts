/** Reads channels.yaml: all problems at once, each with file:line:column, and resolves it for the one site this process is. */
import { dirname, resolve } from "node:path";
import type { z } from "zod";
import { Fault } from "../errors.ts";
import type { CdaChecks } from "../formats/cda-examine.ts";
import { channelChecks } from "./channel-checks.ts";
import { channelTransforms, type TransformStep } from "./channel-transforms.ts";
import { channelSchemas } from "./config-channels.ts";
import { type ConfigFile, type Environment, type Problem, readConfigFile } from "./config-file.ts";
import { type Finding, findingText } from "./config-findings.ts";
import { findDoubts } from "./config-lint.ts";
import { findConflicts } from "./config-rules.ts";
import { type File, type House, type System, schema } from "./config-schema.ts";
import { keysOf, problemsOf } from "./config-schema-problems.ts";
import { parsedBy } from "./config-variables.ts";

export type OutboundChannel = { readonly kind: "outbound"; readonly name: string } & z.output<
  (typeof channelSchemas)["outbound"]
>;
export type InboundChannel = { readonly kind: "inbound"; readonly name: string } & z.output<
  (typeof channelSchemas)["inbound"]
>;
export type Channel = OutboundChannel | InboundChannel;
export type { System } from "./config-schema.ts";
export type Address = { readonly host: string; readonly port: number };

/** The configuration of one site: names resolved, paths absolute, durations in milliseconds. */
export type Config = {
  readonly file: string;
  /** `file:line` of a path of keys. */
  placeOf(path: readonly PropertyKey[]): string;
  /** The file as it is now, in the same environment. */
  reread(): Read;
  readonly site: string;
  readonly timeZone: string;
  readonly identifiers: readonly {
    readonly name: string;
    readonly roots: readonly string[];
    readonly authorities: readonly string[];
    readonly owner?: string | undefined;
  }[];
  readonly partners: Readonly<Record<string, File["partners"][string]>>;
  readonly trust: {
    readonly anchors: readonly string[];
    /** Files, or addresses. */
    readonly crls: readonly string[];
    readonly renew: number;
  };
  readonly registryPartner: string;
  readonly delivery: File["delivery"];
  readonly own: {
    readonly keys: string;
    readonly data: string;
    readonly formerly: string | undefined;
    readonly admin: Address;
    /** Octets. */
    readonly disk: House["disk"];
    readonly alerts: House["alerts"];
    readonly retention: House["retention"];
    readonly limits: House["limits"];
    readonly repository: Address | undefined;
    readonly registry: Address | undefined;
    /** Who may ask the registry for what. */
    readonly access: NonNullable<House["registry"]>["access"];
    readonly systems: Readonly<Record<string, System>>;
    /** In the order of `run`. */
    readonly channels: readonly Channel[];
    /** What is checked of documents beyond the hard rules, by channel. */
    readonly checks: Readonly<Record<string, CdaChecks>>;
    /** Steps of the channels' transforms, by channel. */
    readonly transforms: Readonly<Record<string, readonly TransformStep[]>>;
  };
};

/** What a file says: its findings, and the configuration if none of them is an error. */
export type Read = {
  readonly findings: readonly Finding[];
  readonly config: Config | undefined;
  /** Names of the sites in the file. */
  readonly sites: readonly string[];
  /** `file:line` of a path of keys. */
  placeOf(path: readonly PropertyKey[]): string;
};

const knownKeys = keysOf([schema, channelSchemas.outbound, channelSchemas.inbound]);

/** The configuration for one site; CONFIG_INVALID with one line an error. `told` gets the warnings. */
export function loadConfig(file: string, env: Environment, told: (warning: Finding) => void = () => undefined): Config {
  const { findings, config } = readConfig(file, env);
  if (!config) throw new Fault("CONFIG_INVALID", findings.map(findingText).join("\n"));
  for (const finding of findings) told(finding);
  return config;
}

/** Everything that can be said of a file, errors first, in the order of its lines. */
export function readConfig(file: string, env: Environment): Read {
  const path = resolve(file);
  const source = readConfigFile(path, file, env);
  const parsed = source.value === undefined ? undefined : parsedBy(schema, source.value, source.isVariable);
  const findings = [...source.findings];
  const at = (problem: Problem): void => void findings.push(source.finding(problem));
  const sites = Object.keys((source.value as { sites?: object } | undefined)?.sites ?? {});
  const read = (config: Config | undefined): Read => ({
    findings: sorted(findings),
    config,
    sites,
    placeOf: source.placeOf,
  });
  if (!parsed) return read(undefined);
  if (!parsed.success) for (const problem of problemsOf(parsed.error.issues, knownKeys)) at(problem);

  const channels: Channel[] = [];
  const written = (source.value as { channels?: Readonly<Record<string, unknown>> } | null)?.channels ?? {};
  for (const [name, value] of Object.entries(written)) {
    const channel = readChannel(name, value, source, at);
    if (channel) channels.push(channel);
  }
  // A channel that cannot be read is told once, not again wherever it is named.
  if (!parsed.success || findings.length > 0) return read(undefined);
  for (const problem of findConflicts(parsed.data, channels)) at(problem);
  const { checks, problems, findings: inFiles } = channelChecks(channels, dirname(path));
  for (const problem of problems) at(problem);
  findings.push(...inFiles);
  const { transforms, problems: inTransforms } = channelTransforms(channels, dirname(path));
  for (const problem of inTransforms) at(problem);
  // Doubts about names that do not exist would only repeat it.
  if (findings.length > 0) return read(undefined);
  for (const problem of findDoubts(parsed.data, channels)) at(problem);
  const reread = (): Read => readConfig(file, env);
  return read({ ...resolved(path, parsed.data, channels, { checks, transforms }, source), reread });
}

const sorted = (findings: readonly Finding[]): readonly Finding[] =>
  [...findings].sort(
    (one, other) => one.severity.localeCompare(other.severity) || one.line - other.line || one.column - other.column,
  );

/** A channel is outbound or inbound by its keys; nobody can mix the two. */
function readChannel(
  name: string,
  value: unknown,
  { isVariable }: ConfigFile,
  at: (problem: Problem) => void,
): Channel | undefined {
  const keys = new Set(Object.keys((value ?? {}) as object));
  const kind = keys.has("fetch") || keys.has("deliver") ? "inbound" : "outbound";
  const parsed = parsedBy(channelSchemas[kind], value, (path) => isVariable(["channels", name, ...path]));
  if (parsed.success) return { kind, name, ...parsed.data } as Channel;
  for (const { path, ...problem } of problemsOf(parsed.error.issues, knownKeys))
    at({ ...problem, path: ["channels", name, ...path] });
  return undefined;
}

function resolved(
  path: string,
  file: File,
  channels: readonly Channel[],
  loaded: Pick<Config["own"], "checks" | "transforms">,
  source: ConfigFile,
): Omit<Config, "reread"> {
  const folder = dirname(path);
  const absolute = (relative: string) => resolve(folder, relative);
  const own = file.sites[file.site];
  if (!own) throw new Fault("CONFIG_INVALID", `${source.placeOf(["site"])} ${file.site} is not among the sites`);
  return {
    file: path,
    placeOf: source.placeOf,
    site: file.site,
    timeZone: file.timeZone,
    identifiers: Object.entries(file.identifiers).map(([name, identifier]) => ({ name, ...identifier })),
    partners: Object.fromEntries(
      Object.entries(file.partners).map(([name, partner]) => [
        name,
        { ...partner, certificates: absolute(partner.certificates) },
      ]),
    ),
    trust: {
      anchors: file.trust.anchors.map(absolute),
      crls: file.trust.crls.map((source) => (/^https?:/.test(source) ? source : absolute(source))),
      renew: file.trust.renew,
    },
    registryPartner: file.registryPartner,
    delivery: file.delivery,
    own: {
      keys: absolute(own.keys ?? `pki/${file.site}`),
      data: absolute(own.data),
      formerly: own.formerly,
      admin: own.admin.listen,
      disk: own.disk,
      alerts: own.alerts,
      retention: own.retention,
      limits: own.limits,
      repository: own.repository?.listen,
      registry: own.registry?.listen,
      access: own.registry?.access ?? [],
      systems: own.systems,
      channels: own.run.flatMap((name) => channels.filter((channel) => channel.name === name)),
      ...loaded,
    },
  };
}

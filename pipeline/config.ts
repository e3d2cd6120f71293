/** Reads channels.yaml: all problems at once, each with file:line:column, and resolves it for the one site this process is. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isMap, isScalar, LineCounter, type Node, parseDocument, visit } from "yaml";
import type { z } from "zod";
import { Fault } from "../errors.ts";
import { channelSchemas } from "./config-channels.ts";
import { findConflicts } from "./config-rules.ts";
import { schema } from "./config-schema.ts";

type File = z.output<typeof schema>;
export type OutboundChannel = { readonly kind: "outbound"; readonly name: string } & z.output<
  (typeof channelSchemas)["outbound"]
>;
export type InboundChannel = { readonly kind: "inbound"; readonly name: string } & z.output<
  (typeof channelSchemas)["inbound"]
>;
export type Channel = OutboundChannel | InboundChannel;
type Site = File["sites"][string];
export type System = Site["systems"][string];
export type Address = { readonly host: string; readonly port: number };

/** The configuration of one site: names resolved, paths absolute, durations in milliseconds. */
export type Config = {
  readonly file: string;
  readonly site: string;
  readonly timeZone: string;
  readonly identifiers: readonly {
    readonly name: string;
    readonly roots: readonly string[];
    readonly authorities: readonly string[];
  }[];
  readonly partners: Readonly<
    Record<string, { readonly url: string; readonly certificates: string; readonly profiles: readonly string[] }>
  >;
  readonly trust: { readonly anchors: readonly string[]; readonly crls: readonly string[] };
  readonly registryPartner: string;
  readonly delivery: File["delivery"];
  readonly own: {
    readonly keys: string;
    readonly data: string;
    readonly admin: Address;
    readonly repository: Address | undefined;
    readonly registry: Address | undefined;
    readonly systems: Readonly<Record<string, System>>;
    /** In the order of `run`. */
    readonly channels: readonly Channel[];
  };
};

/** A problem at a place of the file, given as the path of keys that leads there. */
export type Problem = { readonly path: readonly PropertyKey[]; readonly message: string };
export type Environment = Readonly<Record<string, string | undefined>>;

const maxFileBytes = 1024 * 1024;
const maxAliases = 100;

/** CONFIG_INVALID with one line a problem, or the configuration. */
export function loadConfig(file: string, env: Environment): Config {
  const path = resolve(file);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} cannot be read; give another with --config`, { cause });
  }
  if (text.length > maxFileBytes) throw new Fault("CONFIG_INVALID", `${file} is over ${maxFileBytes} octets`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, version: "1.2", uniqueKeys: true, strict: true });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const broken = document.errors.map(({ pos, message }) => `${place(pos[0])}  ${message.split("\n")[0]}`);
  if (broken.length > 0) throw invalid(broken);

  const problems: string[] = [];
  const at = ({ path: keys, message }: Problem): void => {
    problems.push(
      `${place(offsetOf(document.contents, keys))}  ${keys.map(String).join(".")}${keys.length > 0 ? ": " : ""}${message}`,
    );
  };
  visit(document, {
    Scalar: (_key, node) => {
      if (typeof node.value === "string")
        node.value = substitute(node.value, env, (message) =>
          problems.push(`${place(node.range?.[0] ?? 0)}  ${message}`),
        );
    },
  });
  const parsed = schema.safeParse(document.toJS({ maxAliasCount: maxAliases }));
  if (!parsed.success) for (const problem of problemsOf(parsed.error)) at(problem);
  if (!parsed.success || problems.length > 0) throw invalid(problems);

  const channels: Channel[] = [];
  for (const [name, value] of Object.entries(parsed.data.channels)) {
    const channel = readChannel(name, value, at);
    if (channel) channels.push(channel);
  }
  // A channel that cannot be read is told once, not again wherever it is named.
  if (problems.length === 0) for (const problem of findConflicts(parsed.data, channels)) at(problem);
  if (problems.length > 0) throw invalid(problems);
  return resolved(path, parsed.data, channels);
}

const invalid = (problems: readonly string[]): Fault => new Fault("CONFIG_INVALID", problems.join("\n"));

/** ${NAME} and ${NAME:default}. */
function substitute(text: string, env: Environment, problem: (message: string) => void): string {
  return text.replaceAll(
    /\$\{([A-Z][A-Z0-9_]*)(?::([^}]*))?\}/g,
    (_whole, name: string, fallback: string | undefined) => {
      const value = env[name] ?? fallback;
      if (value === undefined)
        problem(`\${${name}} is not set; set it in the environment, or write \${${name}:default}`);
      return value ?? "";
    },
  );
}

/** A channel is outbound or inbound by its keys; nobody can mix the two. */
function readChannel(name: string, value: unknown, at: (problem: Problem) => void): Channel | undefined {
  const keys = new Set(Object.keys((value ?? {}) as object));
  const kind = keys.has("fetch") || keys.has("deliver") ? "inbound" : "outbound";
  const parsed = channelSchemas[kind].safeParse(value);
  if (parsed.success) return { kind, name, ...parsed.data } as Channel;
  for (const { path, message } of problemsOf(parsed.error)) at({ path: ["channels", name, ...path], message });
  return undefined;
}

function problemsOf(error: z.ZodError): readonly Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({ path: [...issue.path, key], message: `unknown key${suggestion(key)}` }));
    }
    return [{ path: issue.path, message: issue.message }];
  });
}

const knownKeys = (() => {
  const keys = new Set<string>();
  const collect = (each: unknown): void => {
    const { shape, def } = each as { shape?: Record<string, unknown>; def?: Record<string, unknown> };
    for (const [key, value] of Object.entries(shape ?? {})) {
      keys.add(key);
      collect(value);
    }
    for (const inner of [def?.innerType, def?.element, def?.valueType, ...((def?.options as unknown[]) ?? [])])
      if (inner) collect(inner);
  };
  for (const each of [schema, channelSchemas.outbound, channelSchemas.inbound]) collect(each);
  return [...keys];
})();

function suggestion(key: string): string {
  const [best] = knownKeys
    .map((known) => ({ known, far: distance(key, known) }))
    .sort((one, other) => one.far - other.far);
  return best && best.far <= 2 ? `; did you mean "${best.known}"?` : "";
}

/** Edits between two words; two letters swapped are one edit (optimal string alignment). */
function distance(one: string, other: string): number {
  const rows: number[][] = [Array.from({ length: other.length + 1 }, (_, i) => i)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= one.length; i += 1) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= other.length; j += 1) {
      const isSwapped = one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      const cost = one[i - 1] === other[j - 1] ? 0 : 1;
      row.push(
        Math.min(
          at(i - 1, j) + 1,
          at(i, j - 1) + 1,
          at(i - 1, j - 1) + cost,
          isSwapped ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
  }
  return at(one.length, other.length);
}

/** Where in the file a path of keys is; the nearest parent if the key itself is not there. */
function offsetOf(root: unknown, keys: readonly PropertyKey[]): number {
  let node = root as Node | null;
  let offset = node?.range?.[0] ?? 0;
  for (const key of keys) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (!pair) return offset;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value as Node | null;
    } else {
      const items = (node as { items?: readonly Node[] } | null)?.items;
      node = items?.[Number(key)] ?? null;
      offset = node?.range?.[0] ?? offset;
    }
  }
  return offset;
}

function resolved(path: string, file: File, channels: readonly Channel[]): Config {
  const folder = dirname(path);
  const absolute = (relative: string) => resolve(folder, relative);
  const own = file.sites[file.site];
  if (!own) throw invalid([`${path}  site: ${file.site} is not among the sites`]);
  return {
    file: path,
    site: file.site,
    timeZone: file.timeZone,
    identifiers: Object.entries(file.identifiers).map(([name, identifier]) => ({ name, ...identifier })),
    partners: Object.fromEntries(
      Object.entries(file.partners).map(([name, partner]) => [
        name,
        { ...partner, certificates: absolute(partner.certificates) },
      ]),
    ),
    trust: { anchors: file.trust.anchors.map(absolute), crls: file.trust.crls.map(absolute) },
    registryPartner: file.registryPartner,
    delivery: file.delivery,
    own: {
      keys: absolute(own.keys ?? `pki/${file.site}`),
      data: absolute(own.data),
      admin: own.admin.listen,
      repository: own.repository?.listen,
      registry: own.registry?.listen,
      systems: own.systems,
      channels: own.run.flatMap((name) => channels.filter((channel) => channel.name === name)),
    },
  };
}

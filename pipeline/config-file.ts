/** The text of channels.yaml: parsed as YAML 1.2, variables replaced, and every key's place known. */
import { readFileSync } from "node:fs";
import { isMap, isScalar, LineCounter, type Node, parseDocument, visit, type YAMLParseError } from "yaml";
import type { Finding, FindingCode } from "./config-findings.ts";
import { severityOf } from "./config-findings.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A problem at a place of the file, given as the path of keys that leads there. */
export type Problem = { readonly code: FindingCode; readonly path: readonly PropertyKey[]; readonly message: string };

export type ConfigFile = {
  readonly value: unknown;
  /** What is wrong with it so far: not readable, not YAML, a variable that is not set. */
  readonly findings: readonly Finding[];
  /** A problem with its place in the file: the key, or its nearest parent when it is not there. */
  finding(problem: Problem): Finding;
  /** `file:line` of a path of keys. */
  placeOf(path: readonly PropertyKey[]): string;
  /** Whether all that is written at a path is one variable. */
  isVariable(path: readonly PropertyKey[]): boolean;
};

const maxFileBytes = 1024 * 1024;
const maxAliases = 100;

/** An octet that is no UTF-8 would become another character, and a filter that has it would match nothing. */
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });
const unread: Readonly<Record<string, string>> = {
  ENOENT: "is not there; is this the right folder?",
  EACCES: "may not be read by this user",
  EISDIR: "is a folder",
  ERR_ENCODING_INVALID_ENCODED_DATA: "is not UTF-8; save it as that",
};

/** Reads a YAML file; `name` is how the file is called in findings. */
export function readConfigFile(path: string, name: string, env: Environment): ConfigFile {
  let text: string;
  try {
    text = strictUtf8.decode(readFileSync(path));
  } catch (thrown) {
    return unreadable(name, unread[(thrown as NodeJS.ErrnoException).code ?? ""] ?? "cannot be read");
  }
  if (text.length > maxFileBytes) return unreadable(name, `is over ${maxFileBytes} octets`);
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: "1.2",
    uniqueKeys: true,
    strict: true,
    stringKeys: true,
  });
  const at = (offset: number, code: FindingCode, message: string): Finding => {
    const { line, col } = lines.linePos(offset);
    return { file: name, line, column: col, severity: severityOf(code), code, message };
  };
  const variables = new Set<unknown>();
  const isVariable = (keys: readonly PropertyKey[]): boolean => variables.has(document.getIn(keys, true));
  const placeOf = (keys: readonly PropertyKey[]): string =>
    `${name}:${lines.linePos(offsetOf(document.contents, keys)).line}`;
  const finding = ({ code, path: keys, message }: Problem): Finding => {
    const where = keys.map(String).join(".");
    return at(offsetOf(document.contents, keys), code, where === "" ? message : `${where}: ${message}`);
  };
  const broken = told(document.errors).map(({ pos, message }) =>
    at(pos[0], "CONFIG_SYNTAX", `${firstLine(message)}${hintFor(text, lines, pos[0])}`),
  );
  if (broken.length > 0) return { value: undefined, findings: broken, finding, placeOf, isVariable };

  const findings: Finding[] = [];
  visit(document, {
    Scalar: (_key, node) => {
      if (typeof node.value !== "string") return;
      if (alone.test(node.value)) variables.add(node);
      node.value = substitute(node.value, env, (message) =>
        findings.push(at(node.range?.[0] ?? 0, "CONFIG_VARIABLE", message)),
      );
    },
    Alias: (_key, node) => {
      if (node.resolve(document)) return;
      const message = `*${node.source} stands for what &${node.source} names before it, which is not there; as a text it wants quotes`;
      findings.push(at(node.range?.[0] ?? 0, "CONFIG_SYNTAX", message));
    },
  });
  if (findings.some(({ code }) => code === "CONFIG_SYNTAX"))
    return { value: undefined, findings, finding, placeOf, isVariable };
  try {
    return { value: document.toJS({ maxAliasCount: maxAliases }), findings, finding, placeOf, isVariable };
  } catch {
    const tooMany = at(0, "CONFIG_SYNTAX", `its aliases stand for more than ${maxAliases} times what they name`);
    return { value: undefined, findings: [...findings, tooMany], finding, placeOf, isVariable };
  }
}

/** Behind the first thing that the parser did not expect, it expects nothing of what is there. */
function told(errors: readonly YAMLParseError[]): readonly YAMLParseError[] {
  const lost = errors.findIndex(({ code }) => code === "UNEXPECTED_TOKEN");
  return lost < 0 ? errors : errors.slice(0, lost + 1);
}

/** The place is told in front of it. */
const firstLine = (message: string): string =>
  (message.split("\n")[0] ?? "").replace(/ at line \d+, column \d+:?$/, "");

/** YAML ends a text without quotes at the { of ${NAME} where braces or brackets are open. */
function hintFor(text: string, lines: LineCounter, offset: number): string {
  const start = offset - lines.linePos(offset).col + 1;
  return text.slice(start, offset).endsWith("$") && text[offset] === "{"
    ? `: between { } or [ ] a value with \${NAME} wants quotes`
    : "";
}

function unreadable(name: string, message: string): ConfigFile {
  const code = "CONFIG_UNREADABLE";
  const finding = (problem: Problem): Finding => {
    return {
      file: name,
      line: 0,
      column: 0,
      severity: severityOf(problem.code),
      code: problem.code,
      message: problem.message,
    };
  };
  return {
    value: undefined,
    findings: [finding({ code, path: [], message })],
    finding,
    placeOf: () => name,
    isVariable: () => false,
  };
}

/** ${NAME} and ${NAME:default}; what is not set stays as it is written. A default does not begin as in a shell (:- := :? :+). */
const variable = /^([A-Z][A-Z0-9_]*)(?::((?![-=?+])[^}]*))?$/;
/** Nothing but a variable. */
const alone = /^\$\{[^}]*\}$/;

function substitute(text: string, env: Environment, problem: (message: string) => void): string {
  return text.replaceAll(/\$\{([^}]*)(\}?)/g, (whole, written: string, end: string) => {
    const [, name, fallback] = (end && variable.exec(written)) || [];
    const value = name === undefined ? undefined : (env[name] ?? fallback);
    if (name === undefined)
      problem(`${whole} is no variable; write \${NAME} or \${NAME:default}, its name in capital letters, digits and _`);
    else if (value === undefined)
      problem(`\${${name}} is not set; set it in the environment, or write \${${name}:default}`);
    return value ?? whole;
  });
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

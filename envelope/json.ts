/** Strict JSON for what is signed: no duplicate key, no number but plain integers, bounded depth, no BOM, nothing after the end. */
import { Fault } from "../errors.ts";

const maxDepth = 6;
const maxInteger = 2 ** 36;

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `manifest: ${what}`);
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what a string may not hold
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const integer = /(?:0|[1-9][0-9]*)(?![.0-9eE])/y;
const space = /[ \t\r\n]*/y;
const literals: readonly (readonly [string, unknown])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

/** The value these octets spell in UTF-8; ENVELOPE_NOT_OPENED for anything a careful writer would not produce. */
export function readStrictJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", "manifest: not UTF-8", { cause });
  }
  const state = { text, at: 0 };
  const value = valueAt(state, 0);
  skip(state);
  if (state.at !== text.length) throw refuse("text after the end");
  return value;
}

type State = { readonly text: string; at: number };

function valueAt(state: State, depth: number): unknown {
  if (depth > maxDepth) throw refuse(`nested deeper than ${maxDepth}`);
  skip(state);
  const next = state.text[state.at];
  if (next === "{") return objectAt(state, depth);
  if (next === "[") return arrayAt(state, depth);
  if (next === '"') return stringAt(state);
  for (const [word, value] of literals) {
    if (!state.text.startsWith(word, state.at)) continue;
    state.at += word.length;
    return value;
  }
  const number = Number(match(state, integer, "a value"));
  if (number > maxInteger) throw refuse("an integer over 2^36");
  return number;
}

function objectAt(state: State, depth: number): unknown {
  const entries = new Map<string, unknown>();
  state.at += 1;
  for (skip(state); state.text[state.at] !== "}"; skip(state)) {
    if (entries.size > 0) expect(state, ",");
    skip(state);
    const key = stringAt(state);
    if (entries.has(key) || key === "__proto__") throw refuse("a key twice");
    skip(state);
    expect(state, ":");
    entries.set(key, valueAt(state, depth + 1));
  }
  state.at += 1;
  return Object.fromEntries(entries);
}

function arrayAt(state: State, depth: number): unknown {
  const values: unknown[] = [];
  state.at += 1;
  for (skip(state); state.text[state.at] !== "]"; skip(state)) {
    if (values.length > 0) expect(state, ",");
    values.push(valueAt(state, depth + 1));
  }
  state.at += 1;
  return values;
}

const stringAt = (state: State): string => JSON.parse(match(state, string, "a string")) as string;

function match(state: State, pattern: RegExp, what: string): string {
  pattern.lastIndex = state.at;
  const [found] = pattern.exec(state.text) ?? [];
  if (found === undefined) throw refuse(`${what} expected at character ${state.at}`);
  state.at += found.length;
  return found;
}

function expect(state: State, character: string): void {
  if (state.text[state.at] !== character) throw refuse(`"${character}" expected at character ${state.at}`);
  state.at += 1;
}

function skip(state: State): void {
  space.lastIndex = state.at;
  state.at += space.exec(state.text)?.[0].length ?? 0;
}

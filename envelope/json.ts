/** Strict JSON (RFC 8259) for what is signed: no duplicate key, no number but plain integers, bounded depth, nothing after the end. */
import { Fault } from "../errors.ts";

const maxDepth = 6;
const maxInteger = 2 ** 36;
const maxKeys = 64;
const literals: readonly (readonly [string, unknown])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];
const integer = /(?:0|[1-9][0-9]{0,11})(?![.0-9eE])/y;
const space = /[ \t\r\n]*/y;
const spaceCode = 0x20;
/** What makes a string more, or less, than the characters that stand there. */
const special = /[\\\p{Cc}]/u;

/** The value that these octets spell in UTF-8 without BOM; ENVELOPE_NOT_OPENED, naming `what`, for anything a careful writer would not produce. */
export function readStrictJson(bytes: Uint8Array, what: string): unknown {
  const state: State = { text: "", at: 0, what };
  try {
    state.text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", `${what}: not UTF-8`, { cause });
  }
  const value = valueAt(state, 1);
  skip(state);
  if (state.at !== state.text.length) throw refuse(state, "something after the end");
  return value;
}

type State = { text: string; at: number; readonly what: string };

const refuse = ({ what, at }: State, why: string): Fault =>
  new Fault("ENVELOPE_NOT_OPENED", `${what}: ${why} at character ${at}`);

function valueAt(state: State, depth: number): unknown {
  if (depth > maxDepth) throw refuse(state, `nested deeper than ${maxDepth}`);
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
  return integerAt(state);
}

function objectAt(state: State, depth: number): unknown {
  const object: Record<string, unknown> = {};
  let size = 0;
  state.at += 1;
  for (skip(state); state.text[state.at] !== "}"; skip(state)) {
    if (size > 0) expect(state, ",");
    skip(state);
    const key = stringAt(state);
    if (Object.hasOwn(object, key) || key === "__proto__") throw refuse(state, "a key twice, or one that is no key");
    if (size >= maxKeys) throw refuse(state, `more than ${maxKeys} keys`);
    skip(state);
    expect(state, ":");
    object[key] = valueAt(state, depth + 1);
    size += 1;
  }
  state.at += 1;
  return object;
}

/** As long as the octets allow: each element takes at least two. */
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

/** The end is found by its quote, so that a string of megabytes (segment digests, an origin) costs no backtracking. */
function stringAt(state: State): string {
  const { text, at } = state;
  if (text[at] !== '"') throw refuse(state, "a string expected");
  let end = at;
  do end = text.indexOf('"', end + 1);
  while (end > 0 && isEscaped(text, end, at));
  if (end < 0) throw refuse(state, "a string without end");
  const literal = text.slice(at + 1, end);
  if (!special.test(literal)) {
    state.at = end + 1;
    return literal;
  }
  try {
    const value: unknown = JSON.parse(text.slice(at, end + 1));
    if (typeof value !== "string" || !value.isWellFormed()) throw refuse(state, "a string that is no text");
    state.at = end + 1;
    return value;
  } catch (cause) {
    // The cause would quote the string.
    if (cause instanceof Fault) throw cause;
    throw refuse(state, "a string with a control character or an escape that is none");
  }
}

/** An odd number of backslashes stands before the quote. */
function isEscaped(text: string, quote: number, start: number): boolean {
  let at = quote - 1;
  while (at > start && text[at] === "\\") at -= 1;
  return (quote - 1 - at) % 2 === 1;
}

function integerAt(state: State): number {
  integer.lastIndex = state.at;
  const [digits] = integer.exec(state.text) ?? [];
  const value = Number(digits ?? Number.NaN);
  if (digits === undefined || value > maxInteger)
    throw refuse(state, "a value, or an integer of at most 2^36, expected");
  state.at += digits.length;
  return value;
}

function expect(state: State, character: string): void {
  if (state.text[state.at] !== character) throw refuse(state, `"${character}" expected`);
  state.at += 1;
}

function skip(state: State): void {
  // Most of what is read was written without any.
  if (state.text.charCodeAt(state.at) > spaceCode) return;
  space.lastIndex = state.at;
  state.at += space.exec(state.text)?.[0].length ?? 0;
}

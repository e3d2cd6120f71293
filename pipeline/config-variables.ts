/** Numbers and truth values that a variable gives: the environment has nothing but text, and the schema says what is wanted. */
import type { z } from "zod";

type Path = readonly PropertyKey[];

const readers: Readonly<Record<string, (text: string) => number | boolean | undefined>> = {
  number: numberOf,
  int: numberOf,
  boolean: (text) => (text === "true" ? true : text === "false" ? false : undefined),
};

function numberOf(text: string): number | undefined {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

/** What the schema reads; text of a variable where it wants a number or a truth value is written into `value` as that. */
export function parsedBy<S extends z.ZodType>(schema: S, value: unknown, isVariable: (path: Path) => boolean) {
  const first = schema.safeParse(value, { reportInput: true });
  const given = first.success ? [] : leaves(first.error.issues).filter(({ path }) => isVariable(path));
  let isChanged = false;
  for (const { path, expected, input } of given) {
    const read = typeof input === "string" ? readers[expected]?.(input) : undefined;
    if (read === undefined) continue;
    put(value, path, read);
    isChanged = true;
  }
  return isChanged ? schema.safeParse(value, { reportInput: true }) : first;
}

type Leaf = { readonly path: Path; readonly expected: string; readonly input: unknown };

function leaves(issues: readonly z.core.$ZodIssue[], above: Path = []): readonly Leaf[] {
  return issues.flatMap((issue) => {
    const path = [...above, ...issue.path];
    if (issue.code === "invalid_union") return issue.errors.flatMap((errors) => leaves(errors, path));
    return issue.code === "invalid_type" ? [{ path, expected: issue.expected, input: issue.input }] : [];
  });
}

function put(value: unknown, path: Path, to: number | boolean): void {
  let holder = value as Record<PropertyKey, unknown>;
  for (const key of path.slice(0, -1)) holder = holder[key] as Record<PropertyKey, unknown>;
  holder[path.at(-1) ?? ""] = to;
}

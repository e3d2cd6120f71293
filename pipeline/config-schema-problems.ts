/** What a schema says is wrong, in words for the one who wrote the file. */
import type { z } from "zod";
import type { Problem } from "./config-file.ts";
import { nearest } from "./config-suggest.ts";

type Issue = z.core.$ZodIssue;

/** Every issue of a schema as a problem; `known` are the keys that could have been meant. */
export const problemsOf = (issues: readonly Issue[], known: Iterable<string>): readonly Problem[] =>
  issues.flatMap((issue) => [...problems(issue, [...known])]);

function* problems(issue: Issue, known: readonly string[]): Generator<Problem> {
  // A variable that is not set was told already; its value is not wrong besides.
  if (typeof issue.input === "string" && issue.input.includes("${")) return;
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys) {
      const meant = nearest(key, known);
      const path = [...issue.path, key];
      const help = meant === key ? " here; it belongs elsewhere" : meant ? `; did you mean "${meant}"?` : "";
      yield { code: "CONFIG_UNKNOWN_KEY", path, message: `unknown key${help}` };
    }
    return;
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The alternative that comes nearest is the one that was meant.
    const [best = []] = [...issue.errors].sort((one, other) => weight(one) - weight(other));
    for (const inner of best) yield* problems({ ...inner, path: [...issue.path, ...inner.path] } as Issue, known);
    return;
  }
  if (issue.code === "invalid_key") {
    // Not the library's "Invalid key in record": what the key has to be.
    for (const inner of issue.issues) yield* problems({ ...inner, path: issue.path } as Issue, known);
    return;
  }
  if (issue.code === "invalid_type" && /received undefined/.test(issue.message)) {
    yield { code: "CONFIG_MISSING_KEY", path: issue.path, message: "required" };
    return;
  }
  const values = issue.code === "invalid_value" ? issue.values.map(String) : [];
  const meant = typeof issue.input === "string" ? nearest(issue.input, values) : undefined;
  yield {
    code: "CONFIG_VALUE",
    path: issue.path,
    message: `${issue.message}${meant ? `; did you mean "${meant}"?` : ""}`,
  };
}

/** Another kind of value altogether was not meant; a key that is not known here weighs more than one that is missing. */
const weight = (issues: readonly Issue[]): number =>
  issues.reduce((sum, { code, path, ...issue }) => {
    if (code === "invalid_type" && path.length === 0) return sum + 100;
    return sum + (code === "unrecognized_keys" ? 2 * (issue as { keys: readonly string[] }).keys.length : 1);
  }, 0);

/** All keys of schemas, however deep. */
export function keysOf(schemas: readonly unknown[]): readonly string[] {
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
  for (const each of schemas) collect(each);
  return [...keys];
}

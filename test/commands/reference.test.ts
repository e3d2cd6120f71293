/** What the reference shows of commands, the program reads; what its JSON Schema refers to is there. */
import { expect, test } from "vitest";
import { commandExamples, exampleEntry } from "../../commands/reference/command-examples.ts";
import { commandsPage, commandsSchema } from "../../commands/reference/commands.ts";
import { type CommandName, commandSchemas, readCommand } from "../../formats/command.ts";
import { documentEntrySchema } from "../../formats/document-entry.ts";

const octets = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const shown = Object.entries(commandExamples).flatMap(([name, { examples }]) =>
  examples.map((example): [CommandName, unknown] => [name as CommandName, example]),
);

test.each(shown)("%s is read as it is shown: %j", (name, example) => {
  expect(readCommand(name, octets(example))).toMatchObject(example as object);
  expect(() => readCommand(name, octets({ ...(example as object), note: "x" }))).toThrow(
    /is not valid at \(top\), which has a field that is unknown$/,
  );
});

test("every form of a question and of a change is shown", () => {
  for (const name of ["query", "change"] as const) {
    const forms = commandSchemas[name].options.flatMap(({ shape }) =>
      "query" in shape ? [...shape.query.values] : "action" in shape ? [...actionsOf(shape.action)] : [],
    );
    const examples: readonly Record<string, unknown>[] = commandExamples[name].examples;
    expect(examples.map(({ query, action }) => query ?? action).sort()).toEqual([...forms].sort());
  }
});

test("the entry that is shown has every field, and no other", () => {
  expect(documentEntrySchema.parse(exampleEntry)).toEqual(exampleEntry);
});

test("the page shows an entry once, and leaves it out elsewhere", () => {
  expect(commandsPage().split('entryUuid":').length).toBe(2);
});

test("the JSON Schema has a definition for each command, and for whatever it refers to", () => {
  const text = commandsSchema();
  const { $defs } = JSON.parse(text) as { $defs: Record<string, unknown> };
  const referred = [...text.matchAll(/"\$ref": "#\/\$defs\/([^"]+)"/g)].map(([, name]) => name ?? "");
  expect(Object.keys($defs)).toEqual(expect.arrayContaining([...Object.keys(commandSchemas), ...referred]));
  expect(referred).toContain("documentEntry");
  // Nothing is left open: a schema that JSON Schema cannot say would be {}.
  expect(text).not.toMatch(/: \{\}/);
});

const actionsOf = (action: { readonly values?: ReadonlySet<string>; readonly options?: readonly string[] }) =>
  action.values ?? action.options ?? [];

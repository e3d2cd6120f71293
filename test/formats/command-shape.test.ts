/** What a command may be made of is asked before it is read: what none has takes seconds, or all the memory there is. */
import { expect, test } from "vitest";
import { type CommandName, readCommand } from "../../formats/command.ts";

const members = (count: number): string => Array.from({ length: count }, (_, n) => `"k${n}":0`).join();

test.each<[string, CommandName, string, string]>([
  ["unknown fields", "retrieve", `{"command":"retrieve",${members(64)}}`, "members"],
  ["unknown fields within", "register", `{"command":"register","entries":[{${members(65)}}]}`, "members"],
  ["depth", "register", "[".repeat(17), "depth"],
  ["elements", "found", `{"command":"found","associations":[${"{},".repeat(220_000)}{}]}`, "members"],
  ["values", "register", `{"command":"register","entries":[${"[0,0,0,0,0],".repeat(120_001)}[]]}`, "values"],
])("over a limit: %s", (_what, name, text, limit) => {
  expect(() => readCommand(name, Buffer.from(text))).toThrow(
    expect.objectContaining({ code: "QUERY_INVALID", message: expect.stringContaining(`over the limit of ${limit}`) }),
  );
});

test("what stands in strings is not counted, whatever is escaped there", () => {
  const title = `${"[{,".repeat(80)}\\"`;
  const refusal = {
    command: "refusal",
    type: title.slice(0, 128),
    title: `"${title}`.slice(0, 256),
    status: 422,
    code: "X",
  };
  expect(readCommand("refusal", Buffer.from(JSON.stringify(refusal)))).toEqual(refusal);
});

test("an answer has as many associations as a page has room for", () => {
  const each = { type: "RPLC", source: "1", target: "2" } as const;
  const found = {
    command: "found",
    submissionSets: [],
    entries: [],
    associations: Array(200_000).fill(each),
    next: null,
  };
  expect(readCommand("found", Buffer.from(JSON.stringify(found))).associations).toHaveLength(200_000);
});

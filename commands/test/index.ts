/** `semrs test`: an interface engineer's own tests of channels.yaml, on the real channel with real store and envelope. */
import { statSync, watch } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { Fault, reasonOf } from "../../errors.ts";
import { speaksLegacy } from "../../pipeline/identity.ts";
import { exitOf, exits, guarded, ofAPerson, print, say } from "../exit.ts";
import { initPki } from "../pki/index.ts";
import { passingFolder } from "../whole.ts";
import { configsOf, housesOf } from "./houses.ts";
import { patient, type Result, runTest } from "./run.ts";
import { readTests } from "./schema.ts";

type Options = {
  readonly only?: string;
  readonly patience: number;
  readonly watch?: boolean;
  readonly json?: boolean;
};

const settleMs = 150;

export function testCommand(): Command {
  return new Command("test")
    .summary("run channels.test.yaml: what is sent to which system, and what must become of it")
    .description(
      "Starts every house of the configuration on free ports with a throw-away PKI and fresh data, real partners beside them, sends what each test says and compares. Exit 1 when a test fails, 78 when a file is wrong.",
    )
    .argument("[file]", "tests", "channels.test.yaml")
    .option("--only <text>", "tests whose name has this text")
    .option(
      "--patience <times>",
      "wait so many times as long as each test says (within), and for what it does not expect, on a busy machine",
      timesOf,
      1,
    )
    .option("--watch", "run again whenever a file in the folder changes")
    .option("--json", "print JSON")
    .addHelpText("before", "Examples:\n  semrs test\n  semrs test --only cancelled --watch\n")
    .action(async (file: string, options: Options) => {
      await guarded("test", async () => {
        if (options.watch) await watched(file, options);
        else process.exitCode = await runAll(file, options);
      });
    });
}

const timesOf = (text: string): number => {
  if (!/^([1-9]|[1-9][0-9]|100)$/.test(text)) throw new InvalidArgumentError("a whole number from 1 to 100.");
  return Number(text);
};

async function runAll(file: string, { only = "", patience, json }: Options): Promise<number> {
  const path = resolve(file);
  const { file: tests, source } = readTests(path, file);
  const configs = configsOf(configOf(file, tests.config), tests);
  using pki = passingFolder("semrs-test-pki-");
  const results: Result[] = [];
  const legacy = configs.some(({ partners }) => Object.values(partners).some(speaksLegacy));
  await initPki(pki.path, housesOf(configs), { now: new Date(), legacy });
  for (const [index, test] of tests.tests.entries()) {
    if (!test.name.includes(only)) continue;
    const result = await runTest(patient(test, patience), tests, path, configs, pki.path).catch(
      (thrown: unknown): Result => {
        return { name: test.name, failures: [reasonOf(ofAPerson(thrown))], ms: 0 };
      },
    );
    results.push(result);
    if (!json) for (const line of lines(result, source.placeOf(["tests", index]))) print(line);
  }
  const failed = results.filter(({ failures }) => failures.length > 0).length;
  if (results.length === 0) say(`no test of ${file} has "${only}" in its name`);
  if (json) print(JSON.stringify(results));
  else say(`${results.length - failed} passed, ${failed} failed`);
  return failed > 0 || results.length === 0 ? exits.failed : exits.ok;
}

/** Relative to the tests, and told as it would be from here. */
const configOf = (file: string, config: string): string =>
  dirname(file) === "." ? config : join(dirname(file), config);

const lines = ({ name, failures, ms }: Result, place: string): readonly string[] =>
  failures.length === 0
    ? [`✓ ${name} (${ms} ms)`]
    : [`✗ ${name} (${place})`, ...failures.map((failure) => `    ${failure}`)];

/** Runs at once and after every change, until it is interrupted. */
async function watched(file: string, options: Options): Promise<void> {
  const folder = dirname(file);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new Fault("QUERY_INVALID", `${folder} is no folder; there is nothing to watch`);
  let [isRunning, isStale] = [false, false];
  const run = async (): Promise<void> => {
    isStale = isRunning;
    if (isRunning) return;
    isRunning = true;
    await runAll(file, options).catch((thrown: unknown) =>
      say(`semrs test: ${reasonOf(thrown)} (exit ${exitOf(thrown)})`),
    );
    isRunning = false;
    say("watching; Ctrl-C ends");
    if (isStale) await run();
  };
  let timer: NodeJS.Timeout | undefined;
  watch(resolve(folder), { recursive: true }, (_event, name) => {
    if (!name || /(^|\/)(node_modules|data|\.git|\.semrs)(\/|$)/.test(name)) return;
    clearTimeout(timer);
    timer = setTimeout(() => void run(), settleMs);
  });
  await run();
}

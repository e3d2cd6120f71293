/** The command line: names the verbs and gives the word to one of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { checkCommand } from "./commands/check/index.ts";
import { completionCommand } from "./commands/completion.ts";
import { demoCommand } from "./commands/demo/index.ts";
import { echoCommand } from "./commands/echo.ts";
import { inspectCommand } from "./commands/envelope/inspect.ts";
import { openCommand } from "./commands/envelope/open.ts";
import { sealCommand } from "./commands/envelope/seal.ts";
import { initCommand } from "./commands/init/index.ts";
import { journalCommand } from "./commands/journal/index.ts";
import { pkiCommand } from "./commands/pki/index.ts";
import { runCommand } from "./commands/run.ts";
import { sendCommand } from "./commands/send/index.ts";
import { testCommand } from "./commands/test/index.ts";

const exitUsage = 64;

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "package.json"), "utf8")) as { version: string };

/** A wrong use ends with 64 at every depth; commander's own exit code is 1. */
function overridden(command: Command): void {
  command.exitOverride();
  for (const each of command.commands) overridden(each);
}

const program = new Command("semrs")
  .description(
    "Moves medical records between hospitals, sealed: HL7 v2 and DICOM in and out, S/MIME envelopes between.",
  )
  .version(version)
  .addHelpText(
    "before",
    "Examples:\n  semrs demo                      three sites on this machine, records travel\n  semrs init hospital-a --own-ca  what one house begins with\n  semrs check && semrs test       what is wrong with channels.yaml, and what it does\n  semrs run                       one site, until it is told to stop\n  semrs journal trace S116        the way of one message\n",
  )
  .exitOverride();
const verbs = [
  demoCommand,
  initCommand,
  checkCommand,
  testCommand,
  runCommand,
  sendCommand,
  echoCommand,
  journalCommand,
  sealCommand,
  openCommand,
  inspectCommand,
  pkiCommand,
];
for (const verb of verbs) program.addCommand(verb());
program.addCommand(completionCommand(() => program));
overridden(program);

try {
  await program.parseAsync(process.argv);
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) throw thrown;
  process.exitCode = thrown.exitCode === 0 ? 0 : exitUsage;
}

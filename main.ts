/** The command line: names the verbs and gives the word to one of them. */
import { Command, CommanderError } from "commander";
import { version } from "./commands/version.ts";

const exitUsage = 64;

/** A wrong use ends with 64 at every depth; commander's own exit code is 1. */
function overridden(command: Command): void {
  command.exitOverride();
  for (const each of command.commands) overridden(each);
}

/** Who reads may have seen enough (`| head`): what a verb does is done to its end all the same. A house without its log ends. */
if (process.argv[2] !== "run")
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (thrown: NodeJS.ErrnoException) => {
      if (thrown.code !== "EPIPE") throw thrown;
    });

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
/** A verb brings its own modules and nothing of the others: `seal` needs no web server. */
const verbs: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import("./commands/demo/index.ts")).demoCommand(),
  init: async () => (await import("./commands/init/index.ts")).initCommand(),
  check: async () => (await import("./commands/check/index.ts")).checkCommand(),
  test: async () => (await import("./commands/test/index.ts")).testCommand(),
  run: async () => (await import("./commands/run.ts")).runCommand(),
  send: async () => (await import("./commands/send/index.ts")).sendCommand(),
  echo: async () => (await import("./commands/echo.ts")).echoCommand(),
  doctor: async () => (await import("./commands/doctor/index.ts")).doctorCommand(),
  reload: async () => (await import("./commands/reload.ts")).reloadCommand(),
  status: async () => (await import("./commands/status.ts")).statusCommand(),
  pause: async () => (await import("./commands/stops.ts")).stopCommand("pause"),
  drain: async () => (await import("./commands/stops.ts")).stopCommand("drain"),
  resume: async () => (await import("./commands/stops.ts")).stopCommand("resume"),
  journal: async () => (await import("./commands/journal/index.ts")).journalCommand(),
  audit: async () => (await import("./commands/audit/index.ts")).auditCommand(),
  log: async () => (await import("./commands/log/index.ts")).logCommand(),
  consent: async () => (await import("./commands/consent.ts")).consentCommand(),
  erase: async () => (await import("./commands/erase.ts")).eraseCommand(),
  fetch: async () => (await import("./commands/fetch.ts")).fetchCommand(),
  emergency: async () => (await import("./commands/emergency/index.ts")).emergencyCommand(),
  evidence: async () => (await import("./commands/evidence.ts")).evidenceCommand(),
  backup: async () => (await import("./commands/backup.ts")).backupCommand(),
  restore: async () => (await import("./commands/backup.ts")).restoreCommand(),
  verify: async () => (await import("./commands/verify.ts")).verifyCommand(),
  seal: async () => (await import("./commands/envelope/seal.ts")).sealCommand(),
  open: async () => (await import("./commands/envelope/open.ts")).openCommand(),
  inspect: async () => (await import("./commands/envelope/inspect.ts")).inspectCommand(),
  participants: async () => (await import("./commands/participants/index.ts")).participantsCommand(),
  pki: async () => (await import("./commands/pki/index.ts")).pkiCommand(),
  completion: async () => (await import("./commands/completion.ts")).completionCommand(() => program),
};
// Help, completion and a wrong verb speak of all of them.
const [, , asked = ""] = process.argv;
const wanted = Object.hasOwn(verbs, asked) && asked !== "completion" ? [asked] : Object.keys(verbs);
for (const name of wanted) {
  const verb = await verbs[name]?.();
  if (verb) program.addCommand(verb);
}
overridden(program);

try {
  await program.parseAsync(process.argv);
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) throw thrown;
  process.exitCode = thrown.exitCode === 0 ? 0 : exitUsage;
}

/** The command line: names the verbs and gives the word to one of them. */
import { Command, CommanderError } from "commander";
import { exits, overridden, say } from "./commands/exit.ts";
import { listed, verbs } from "./commands/verbs.ts";
import { version } from "./commands/version.ts";

/** Who reads may have seen enough (`| head`): what a verb does is done to its end all the same. A house without its log ends. */
if (process.argv[2] !== "run") {
  let isTold = false;
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", ({ code }: NodeJS.ErrnoException) => {
      if (code === "EPIPE" || isTold) return;
      isTold = true;
      process.once("exit", () => {
        process.exitCode ||= exits.unavailable;
      });
      if (stream === process.stdout)
        say(`semrs: standard output cannot be written (${code}); what was printed is not whole`);
    });
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
  .configureHelp({ subcommandTerm: (verb) => listed[verb.name()]?.[0] ?? `${verb.name()} ${verb.usage()}` })
  .exitOverride();
// The verb that is asked, or asked about, brings its modules; completion speaks of all, and a list shows them without.
const [first, second] = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const asked = first === "help" ? second : first;
for (const [name, verb] of Object.entries(verbs)) {
  const isLoaded = name === asked || first === "completion";
  program.addCommand(isLoaded ? await verb(program) : new Command(name).summary(listed[name]?.[1] ?? ""));
}
overridden(program);

try {
  await program.parseAsync(process.argv);
} catch (thrown) {
  if (!(thrown instanceof CommanderError)) throw thrown;
  process.exitCode = thrown.exitCode === 0 ? exits.ok : exits.usage;
}

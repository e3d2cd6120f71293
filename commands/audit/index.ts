/** `semrs audit`: the audit log of a site; whole or not, and what partners' logs were. */
import { Command } from "commander";
import { guarded } from "../exit.ts";
import { type HeadsFlags, heads, type VerifyFlags, verifyAudit } from "./verify.ts";

export function auditCommand(): Command {
  const audit = new Command("audit")
    .summary("the audit log of a site: whether it is whole, and what it holds")
    .addHelpText(
      "before",
      "Examples:\n  semrs audit verify && echo whole\n  semrs audit verify --witness heads-at-partners/\n  semrs audit heads --partner hospital-b > hospital-b.json\n",
    );
  const add = <F>(name: string, summary: string, work: (flags: F) => void | Promise<void>) =>
    audit
      .command(name)
      .summary(summary)
      .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
      .action((flags: F) => guarded(`audit ${name}`, () => work(flags)));
  add<VerifyFlags>(
    "verify",
    "follow the chain from the first entry to the last; exit 1 names the first that does not hold",
    verifyAudit,
  )
    .option("--witness <path>", "heads of this site that partners hold: a file of theirs, or a folder of such files")
    .option("--json", "print JSON");
  add<HeadsFlags>("heads", "print the heads of a partner's log that this site holds", heads).requiredOption(
    "--partner <org>",
    "whose log",
  );
  return audit;
}

/** `semrs audit`: the audit log of a site; whole or not, and what partners' logs were. */
import { Command } from "commander";
import { guarded } from "../exit.ts";
import { type ExportFlags, exportAudit, type ListFlags, list } from "./export.ts";
import { type HeadsFlags, heads, type VerifyFlags, verifyAudit } from "./verify.ts";

export function auditCommand(): Command {
  const audit = new Command("audit")
    .summary("the audit log of a site: whether it is whole, and what it holds")
    .addHelpText(
      "beforeAll",
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
  const reading = (command: Command): Command =>
    command
      .option("--after <seq>", "entries behind this number", "0")
      .option("--reason <text>", "why the log is read: it is kept there");
  reading(add<ListFlags>("list", "the newest entries, one line each, with whom they are about", list))
    .option("--limit <count>", "so many", "50")
    .option("--json", "print JSON");
  reading(add<ExportFlags>("export", "every entry, to standard output, a file or a syslog server", exportAudit))
    .option("--format <format>", "json, or rfc5424: audit messages of DICOM PS3.15 in syslog", "json")
    .option("--out <file>", "write this file instead, mode 0600")
    .option("--to <host:port>", "send to a syslog server over TLS (RFC 5425)")
    .option("--ca <file>", "authority of that server, PEM; the site's own authorities unless said");
  return audit;
}

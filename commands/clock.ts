/** `semrs clock`: what a person says of the clock of a running site. */
import { Command } from "commander";
import { adminOf, type Where } from "./admin-client.ts";
import { guarded, print } from "./exit.ts";

type Flags = Where & { readonly reason: string; readonly json?: boolean };

export function clockCommand(): Command {
  const clock = new Command("clock")
    .summary("that the clock of a site is right now, after it was wrong, or the site was off for weeks")
    .addHelpText("beforeAll", "Example:\n  semrs clock confirm --reason 'NTP was down; it was 8 h ahead'\n");
  clock
    .command("confirm")
    .summary("it is right now: what was written by one that was ahead stops nothing, and what is too old is removed")
    .requiredOption("--reason <text>", "why; it is kept in the audit log")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
    .option("--data <folder>", "its data folder instead (admin.token is read)")
    .option("--json", "print JSON")
    .action((flags: Flags) => guarded("clock confirm", () => confirm(flags)));
  return clock;
}

async function confirm({ reason, json, ...where }: Flags): Promise<void> {
  const told = await adminOf(where).post<{ readonly at: string }>("/clock/confirm", { reason });
  print(json ? JSON.stringify(told) : `the clock is right at ${told.at}`);
}

/** `semrs reload`: a running site reads its configuration anew. */
import { Command } from "commander";
import type { Reloaded } from "../pipeline/reload.ts";
import { adminOf, type Where } from "./admin-client.ts";
import { guarded, print, say } from "./exit.ts";

export function reloadCommand(): Command {
  return new Command("reload")
    .summary("have a running site read its configuration anew")
    .description(
      "As SIGHUP does, with an answer. A file that is wrong, or that changes what only a start can, changes nothing: each problem is told with its place. Exit 78 then.",
    )
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
    .option("--data <folder>", "its data folder instead (admin.token is read)")
    .option("--json", "print JSON")
    .addHelpText("before", "Example:\n  semrs check && semrs test && semrs reload\n")
    .action((where: Where & { readonly json?: boolean }) =>
      guarded("reload", async () => {
        const reloaded = await adminOf(where).post<Reloaded>("/reload", {});
        for (const warning of reloaded.warnings) say(warning);
        if (where.json) print(JSON.stringify(reloaded));
        else print(reloaded.changed.length === 0 ? "nothing has changed" : `changed: ${reloaded.changed.join(", ")}`);
      }),
    );
}

/** `semrs backup` and `semrs restore`: the data folder of a site, while it runs, and back. */
import { resolve } from "node:path";
import { Command } from "commander";
import { loadConfig } from "../pipeline/config.ts";
import { loadKeys } from "../pipeline/identity.ts";
import { type Backup, backUp, restore } from "../store/backup.ts";
import { guarded, print } from "./exit.ts";
import { verify } from "./verify.ts";

type Flags = { readonly config: string; readonly json?: boolean };

export function backupCommand(): Command {
  return new Command("backup")
    .summary("back up the data folder, while the site runs or not")
    .description(
      "One moment of the store: index, accept journal and every blob that the index names. It is sealed; storage.key is not in it and is kept apart.",
    )
    .argument("<folder>", "where to; must not be there yet")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--json", "print JSON")
    .addHelpText("before", "Example:\n  semrs backup /backup/hospital-a/$(date +%F)\n")
    .action((folder: string, { config, json }: Flags) =>
      guarded("backup", () => {
        const { own, site } = loadConfig(config, process.env);
        const backup = backUp(own.data, resolve(folder), site, new Date());
        print(json ? JSON.stringify(backup) : `${folder}: ${told(backup)}`);
      }),
    );
}

export function restoreCommand(): Command {
  return new Command("restore")
    .summary("make the data folder of a backup, and verify it")
    .description(
      "The data folder must be empty or not there. Everything is verified afterwards, as semrs verify does; exit 65 when something does not hold.",
    )
    .argument("<folder>", "what semrs backup has written")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--json", "print JSON, one line a damage and one at the end")
    .addHelpText("before", "Example:\n  semrs restore /backup/hospital-a/2026-11-28 && semrs run\n")
    .action((folder: string, flags: Flags) =>
      guarded("restore", async () => {
        const config = loadConfig(flags.config, process.env);
        const { own, site } = config;
        const house = { name: site, formerly: own.formerly };
        const backup = restore(resolve(folder), own.data, loadKeys(config).storageKey, house);
        if (!flags.json) print(`${own.data}: ${told(backup)}`);
        await verify(flags);
      }),
    );
}

const told = ({ site, at, acceptances, blobs, bytes }: Backup): string =>
  `${site} as of ${at}, ${acceptances} in the accept journal, ${blobs} blob files, ${bytes} octets`;

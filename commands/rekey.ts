/** `semrs rekey`: another storage key for the data folder of a site that does not run. */
import { randomBytes } from "node:crypto";
import { accessSync, chownSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { Fault } from "../errors.ts";
import { loadConfig } from "../pipeline/config.ts";
import { storageKeyIn } from "../pipeline/identity.ts";
import { writeDurably, writeNewDurably } from "../store/durable.ts";
import { keyBytes } from "../store/keys.ts";
import { rekey } from "../store/rekey.ts";
import { guarded, print } from "./exit.ts";

type Flags = { readonly config: string; readonly next?: string };

export function rekeyCommand(): Command {
  return new Command("rekey")
    .summary("another storage.key for the data folder of a site that is stopped")
    .description(
      "The data folder has a key of its own; from here on that is sealed under a new storage.key, and the one before opens nothing but backups of before. It takes no time, however much the folder holds.",
    )
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option(
      "--next <file>",
      "64 hexadecimal digits that you put in the place of storage.key: the first start with them ends the one before",
    )
    .addHelpText("before", "Examples:\n  semrs rekey\n  semrs rekey --next /run/secrets/storage.key.next\n")
    .action((flags: Flags) => guarded("rekey", () => replaceKey(flags)));
}

const makesOne = "openssl rand -hex 32 makes one";

function replaceKey({ config, next }: Flags): void {
  const { own } = loadConfig(config, process.env);
  const file = join(own.keys, "storage.key");
  const before = storageKeyIn(file);
  for (const line of next === undefined ? replaced(own.data, file, before) : prepared(own.data, file, before, next))
    print(line);
}

/** A key of ours is in the place of the one before when this returns. */
function replaced(data: string, file: string, before: Uint8Array): readonly string[] {
  const kept = `${file}.${stamp(new Date())}`;
  const made = randomBytes(keyBytes);
  try {
    accessSync(dirname(file), constants.W_OK);
  } catch (cause) {
    const what = `${dirname(file)} takes no writes: semrs rekey --next FILE, with a key that you put there yourself`;
    throw new Fault("CONFIG_INVALID", `${what}; ${makesOne}`, { cause });
  }
  rekey(data, before, made, () => {
    const { uid, gid } = statSync(file);
    writeNewDurably(kept, readFileSync(file), 0o600);
    writeDurably(file, `${made.toString("hex")}\n`, 0o600);
    // Whoever the site runs as reads it: root may have made it.
    for (const each of [kept, file]) if (process.getuid?.() === 0) chownSync(each, uid, gid);
  });
  return [
    `${file} is new: keep a copy of it apart; ${data} opens with nothing else`,
    `${kept} is the one before: backups until now open with it alone. Put it where their keys are kept`,
  ];
}

/** Where storage.key comes from elsewhere, as a secret that is mounted. */
function prepared(data: string, file: string, before: Buffer, next: string): readonly string[] {
  if (!existsSync(next)) throw new Fault("CONFIG_INVALID", `${next} does not exist; ${makesOne}`);
  const given = storageKeyIn(next, makesOne);
  if (before.equals(given)) throw new Fault("CONFIG_INVALID", `${next} is the storage.key that there is; ${makesOne}`);
  rekey(data, before, given);
  return [
    `${data} opens with ${next}, too: put it in the place of ${file} and start the site`,
    "From then on the one before opens nothing but backups until now. Put it where their keys are kept",
  ];
}

/** As a part of a file's name: 20261130T071500Z. */
const stamp = (at: Date): string => at.toISOString().replace(/[-:]|\.\d+/g, "");

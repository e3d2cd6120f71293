/** `semrs verify`: everything a site keeps, looked at again; of a running site through its admin port, else in the data folder. */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { Command } from "commander";
import { loadConfig } from "../pipeline/config.ts";
import { type Damage, type Verified, verifyStore } from "../pipeline/verify.ts";
import { adminUrl, openAdminClient } from "./admin-client.ts";
import { exits, guarded, print, say } from "./exit.ts";
import { storeOf } from "./store-of.ts";

type Flags = { readonly config: string; readonly json?: boolean };

export function verifyCommand(): Command {
  return new Command("verify")
    .summary("look at everything a site keeps again: accept journal, index, every blob")
    .description(
      "Every acknowledgement since the first must be in the index, every blob must open and have its digest. Nothing is changed. Exit 65 when something does not hold.",
    )
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--json", "print JSON, one line a damage and one at the end")
    .addHelpText("before", "Example:\n  semrs verify && echo whole\n")
    .action((flags: Flags) => guarded("verify", () => verify(flags)));
}

/** Tells each damage; exit 65 when there is one. */
export async function verify({ config, json }: Flags): Promise<void> {
  const found = verified(config);
  let damages = 0;
  for (let next = await found.next(); ; next = await found.next()) {
    if (json) print(JSON.stringify(next.value));
    if (next.done) {
      const { acceptances, blobs, bytes } = next.value;
      if (!json) print(`${acceptances} acknowledged, ${blobs} blobs, ${bytes} octets: ${damages} damaged`);
      if (damages > 0) process.exitCode = exits.data;
      return;
    }
    damages += 1;
    const { where, reason, of } = next.value;
    if (!json) say(`${where}: ${reason}${of.length > 0 ? ` (${of.join(", ")})` : ""}`);
  }
}

/** A site that runs has its store to itself: it looks, and tells. */
async function* verified(file: string): AsyncGenerator<Damage, Verified> {
  const config = loadConfig(file, process.env);
  const store = await storeOf(config);
  if (!store) {
    const body = await openAdminClient(adminUrl(config.own.admin), config.own.data).download("/verify", {});
    let last: Damage | Verified | undefined;
    for await (const line of createInterface({ input: Readable.from(body) })) {
      if (last && "where" in last) yield last;
      last = JSON.parse(line) as Damage | Verified;
    }
    return last as Verified;
  }
  try {
    return yield* verifyStore(store);
  } finally {
    await store.close();
  }
}

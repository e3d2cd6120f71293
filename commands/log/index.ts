/** `semrs log`: the registry's log of what it has registered, changed and refused; whole or not, and its signed checkpoints. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { Fault } from "../../errors.ts";
import { makeFolderSync } from "../../folder.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { checkpointsHeld } from "../../store/audit-check.ts";
import { writeDurably } from "../../store/durable.ts";
import { type VerifyFlags, verifyLog } from "../audit/verify.ts";
import { guarded, print } from "../exit.ts";

type CheckpointFlags = { readonly config: string; readonly out: string; readonly after: string };

export function logCommand(): Command {
  const log = new Command("log")
    .summary("the log of a registry: whether it is whole, and its signed checkpoints")
    .addHelpText(
      "beforeAll",
      "Examples:\n  semrs log verify --witness what-houses-hold/\n  semrs log checkpoints --out /mnt/elsewhere/registry\n",
    );
  log
    .command("verify")
    .summary(
      "follow the chain and compare checkpoints, heads and receipts; exit 1 names the first entry that does not hold",
    )
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option(
      "--witness <path>",
      "what houses hold of this log: heads, receipts, checkpoints; a file, or a folder of them",
    )
    .option("--json", "print JSON")
    .action((flags: VerifyFlags) => guarded("log verify", () => verifyLog(flags)));
  log
    .command("checkpoints")
    .summary("write the signed checkpoints as files, to be kept elsewhere")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--after <seq>", "of entries behind this number", "-1")
    .requiredOption("-o, --out <folder>", "where to; what is there already stays")
    .action((flags: CheckpointFlags) => guarded("log checkpoints", () => writeCheckpoints(flags)));
  return log;
}

function writeCheckpoints({ config: file, out, after }: CheckpointFlags): void {
  if (!/^-?\d{1,15}$/.test(after)) throw new Fault("QUERY_INVALID", `${after} is no number of an entry`);
  const { own, site } = loadConfig(file, process.env);
  const kept = checkpointsHeld(own.data, Number(after));
  makeFolderSync(out);
  for (const { seq, signed } of kept) keepElsewhere(join(out, `${site}-${seq}.p7m`), signed);
  print(`${kept.length} checkpoints in ${out}, the last of entry ${kept.at(-1)?.seq ?? 0}`);
}

/** What was kept before is the evidence: never written over, and another checkpoint of the same entry is told. */
function keepElsewhere(file: string, signed: Uint8Array): void {
  if (!existsSync(file)) writeDurably(file, signed, 0o644);
  else if (!readFileSync(file).equals(signed))
    throw new Fault(
      "STORE_DAMAGED",
      `${file} is another checkpoint than the log holds now; leave it, and run semrs log verify --witness with its folder`,
    );
}

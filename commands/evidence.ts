/** `semrs evidence`: what proves who sent what to whom when, in a folder that anybody verifies with OpenSSL alone. */
import { Command } from "commander";
import { Fault } from "../errors.ts";
import type { EvidenceFiles } from "../pipeline/evidence.ts";
import { adminOf, type Where } from "./admin-client.ts";
import { guarded, print } from "./exit.ts";
import { wholeFolder } from "./whole.ts";

type Flags = Where & { readonly out?: string };

export function evidenceCommand(): Command {
  const evidence = new Command("evidence")
    .summary("what proves who sent what to whom when")
    .addHelpText("beforeAll", "Example:\n  semrs evidence export 9f2c04 --out evidence-9f2c04\n");
  evidence
    .command("export")
    .summary(
      "of one record: manifests, signatures, receipts, authorities and revocation lists, with the commands that verify them",
    )
    .description(
      "Asks the running site. The folder holds no document and no patient data but what receipts and manifests name: digests, houses, times. Its README.md has the OpenSSL commands.",
    )
    .argument("<id>", "the record, or anything that semrs journal trace knows it by")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
    .option("--data <folder>", "its data folder instead (admin.token is read)")
    .option("-o, --out <folder>", "a new folder; evidence-ID unless said")
    .action((id: string, flags: Flags) => guarded("evidence export", () => exportEvidence(id, flags)));
  return evidence;
}

async function exportEvidence(id: string, flags: Flags): Promise<void> {
  const { record, files } = await adminOf(flags).get<EvidenceFiles>(`/records/${encodeURIComponent(id)}/evidence`);
  const folder = flags.out ?? `evidence-${record}`;
  await wholeFolder(folder, async (put) => {
    for (const [name, octets] of Object.entries(files)) {
      // A house's name may come from a receipt: no file is written anywhere else.
      if (!/^[\p{L}\p{N}_.-]+$/u.test(name))
        throw new Fault("PEER_REFUSED", "the site answered with a name that is none of a file");
      await put(name, [Buffer.from(octets, "base64")]);
    }
  });
  print(`${Object.keys(files).length} files in ${folder}; README.md has the commands that verify them`);
}

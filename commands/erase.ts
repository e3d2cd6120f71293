/** `semrs erase`: a patient's keys, and with them what was sealed under them at this site. */
import { Command } from "commander";
import type { Erasure } from "../pipeline/erasure.ts";
import { adminOf } from "./admin-client.ts";
import { guarded, print, say } from "./exit.ts";
import { type Named, named, patientIdsOf } from "./patient.ts";

type Flags = Named & { readonly reason: string; readonly yes?: boolean; readonly json?: boolean };

export const eraseCommand = (): Command =>
  named(
    new Command("erase")
      .summary("erase a patient at this site: what was sealed under their keys can never be read again")
      .addHelpText(
        "before",
        "Examples:\n  semrs erase --patient national^A223456781 --reason 'request 2026/41'\n  semrs erase --patient-file - --reason 'request 2026/41' --yes < ids.txt\n",
      ),
  )
    .requiredOption("--reason <text>", "why; it is kept in the audit log and names nobody")
    .option("--yes", "do it; without it nothing is erased, and what would be is said")
    .option("--json", "print JSON")
    .action((flags: Flags) => guarded("erase", () => erase(flags)));

async function erase({ reason, yes = false, json, ...flags }: Flags): Promise<void> {
  const body = { patientIds: await patientIdsOf(flags), reason, confirmed: yes };
  // A long audit log is counted for longer than a question may take.
  const erased = await adminOf(flags).post<Erasure>("/erasures", body, 0);
  if (json) return print(JSON.stringify(erased));
  const { isErased, keys, entries, auditEntries } = erased;
  print(
    `${keys} keys, ${entries} registered entries, whom ${auditEntries} entries of the audit log are about${isErased ? ": erased" : ""}`,
  );
  if (!isErased) say("nothing is erased yet; --yes does it, and nothing undoes it");
}

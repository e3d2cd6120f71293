/** `semrs fetch`: asks for a patient's records now; in an emergency past consent. */
import { Command } from "commander";
import { Fault } from "../errors.ts";
import { adminOf } from "./admin-client.ts";
import { guarded, print } from "./exit.ts";
import { type Named, named, patientIdsOf } from "./patient.ts";

type Flags = Named & { readonly emergency?: boolean; readonly reason?: string; readonly json?: boolean };

export const fetchCommand = (): Command =>
  named(
    new Command("fetch")
      .summary("ask for a patient's records now, where a channel fetches on request; in an emergency past consent")
      .addHelpText(
        "before",
        "Examples:\n  semrs fetch --patient national^A223456781\n  semrs fetch --emergency --reason 'unconscious, no relatives' --patient-file - < id.txt\n",
      ),
  )
    .option("--emergency", "past what the patient withholds; a person of the registry reviews it afterwards")
    .option("--reason <text>", "why, in an emergency; it is kept in the audit log here and at the registry")
    .option("--json", "print JSON")
    .action((flags: Flags) => guarded("fetch", () => ask(flags)));

async function ask({ emergency: isEmergency, reason, json, ...flags }: Flags): Promise<void> {
  if ((isEmergency === true) !== (reason !== undefined))
    throw new Fault("QUERY_INVALID", "--emergency and --reason go together: who asks past consent says why");
  const body = { patientIds: await patientIdsOf(flags), ...(reason === undefined ? {} : { emergency: { reason } }) };
  const asked = await adminOf(flags).post<{ readonly id: string; readonly channel: string }>("/fetch", body);
  if (json) print(JSON.stringify(asked));
  else print(`${asked.id} ${asked.channel} queued; semrs journal trace ${asked.id.slice(-8)}`);
}

/** `semrs emergency`: accesses past consent that a person of the registry looks at afterwards. */
import { Command } from "commander";
import type { EmergencyLine, Reviewed } from "../../pipeline/emergencies.ts";
import { adminOf, type Where } from "../admin-client.ts";
import { columns, guarded, print, say } from "../exit.ts";

type ListFlags = Where & { readonly all?: boolean; readonly json?: boolean };
type ReviewFlags = Where & { readonly by: string; readonly finding: string; readonly reason: string };

export function emergencyCommand(): Command {
  const emergency = new Command("emergency")
    .summary("accesses in an emergency, past consent: which wait for a review, and that one was reviewed")
    .addHelpText(
      "beforeAll",
      "Examples:\n  semrs emergency list\n  semrs emergency review 9f2c04 --by 'privacy officer Lin' --finding justified --reason 'unconscious, telephoned the ward'\n",
    );
  const where = (command: Command): Command =>
    command
      .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
      .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
      .option("--data <folder>", "its data folder instead (admin.token is read)");
  where(emergency.command("list").summary("those that nobody has reviewed, oldest first"))
    .option("--all", "all of them, newest first")
    .option("--json", "print JSON")
    .action((flags: ListFlags) => guarded("emergency list", () => list(flags)));
  where(emergency.command("review").summary("one was looked at; it is an entry of the audit log"))
    .argument("<id>", "the access, or the end of its id")
    .requiredOption("--by <who>", "who has looked at it")
    .requiredOption("--finding <finding>", "justified or unjustified")
    .requiredOption("--reason <text>", "why")
    .action((id: string, flags: ReviewFlags) => guarded("emergency review", () => review(id, flags)));
  return emergency;
}

async function list({ all, json, ...where }: ListFlags): Promise<void> {
  const lines = await adminOf(where).get<readonly EmergencyLine[]>(`/emergencies?all=${all === true}`);
  if (json) return print(JSON.stringify(lines));
  const rows = lines.map(({ id, at, org, count, seq, reviewedAt, reason }) => [
    id.slice(-8),
    at,
    org,
    `${count ?? 0} entries`,
    `audit ${seq}`,
    reviewedAt ? `reviewed ${reviewedAt}` : "waits",
    reason ?? "",
  ]);
  for (const line of columns(rows)) print(line);
  say(
    `${lines.filter(({ reviewedAt }) => !reviewedAt).length} wait; semrs audit list --after N tells whom one was about`,
  );
}

async function review(id: string, { by, finding, reason, ...where }: ReviewFlags): Promise<void> {
  const path = `/emergencies/${encodeURIComponent(id)}/review`;
  const reviewed = await adminOf(where).post<Reviewed>(path, { by, finding, reason });
  print(`${reviewed.id} reviewed`);
}

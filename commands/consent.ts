/** `semrs consent`: what a patient withholds or shares, as the house that gives their id tells the registry. */
import { setTimeout as wait } from "node:timers/promises";
import { Command } from "commander";
import { Fault } from "../errors.ts";
import type { ConsentLine } from "../pipeline/consents.ts";
import { type AdminClient, adminOf } from "./admin-client.ts";
import { columns, guarded, print } from "./exit.ts";
import { type Named, named, patientIdsOf } from "./patient.ts";
import { positive } from "./send/peer.ts";

type Told = Pick<ConsentLine, "id" | "state" | "why">;
type TellFlags = Named & {
  readonly to?: string;
  readonly forms?: string;
  readonly reason: string;
  readonly wait: number;
};
type ShowFlags = Named & { readonly reason?: string; readonly json?: boolean };

const lookMs = 200;

export function consentCommand(): Command {
  const consent = new Command("consent")
    .summary("what a patient withholds or shares: told to the registry by the house that gives the patient's id")
    .addHelpText(
      "beforeAll",
      "Examples:\n  semrs consent withdraw --patient 7001234 --reason 'form of 2026-11-28, signed'\n  semrs consent give --patient 7001234 --to hospital-b --forms 113,114 --reason 'by telephone'\n  semrs consent show --patient-file - < id.txt\n",
    );
  const tell = (verb: "give" | "withdraw", decision: ConsentLine["decision"], summary: string): Command =>
    named(consent.command(verb).summary(summary))
      .option("--to <orgs>", "these houses, with commas between; all of them unless said")
      .option("--forms <forms>", "documents of these EEC forms, other for those of none; all unless said")
      .requiredOption("--reason <text>", "why; it is kept in the audit log")
      .option("--wait <seconds>", "for the registry to sign for it", positive, 10)
      .action((flags: TellFlags) => guarded(`consent ${verb}`, () => told(decision, flags)));
  tell("give", "share", "the patient shares what is registered; it takes a withdrawal back");
  tell("withdraw", "withhold", "the patient withholds it: the registry tells nobody of it, but in an emergency");
  named(
    consent
      .command("show")
      .summary("what this house has told, newest first; the newest that speaks of a house and a form decides"),
  )
    .option("--reason <text>", "why it is looked at; it is kept in the audit log")
    .option("--json", "print JSON")
    .action((flags: ShowFlags) => guarded("consent show", () => show(flags)));
  return consent;
}

async function told(
  decision: ConsentLine["decision"],
  { to, forms, reason, wait: seconds, ...flags }: TellFlags,
): Promise<void> {
  const admin = adminOf(flags);
  const list = (written: string) => written.split(",").map((each) => each.trim());
  const asked = await admin.post<readonly Told[]>("/consents", {
    patientIds: await patientIdsOf(flags),
    decision,
    ...(to === undefined ? {} : { orgs: list(to) }),
    ...(forms === undefined ? {} : { forms: list(forms) }),
    reason,
  });
  const end = Date.now() + seconds * 1000;
  for (const { id } of asked) print(`${id} ${stateOf(await signedFor(admin, id, end))}`);
}

/** The state once the registry has signed for it. PEER_REFUSED where it never will, PEER_BUSY where it has not yet. */
async function signedFor(admin: AdminClient, id: string, end: number): Promise<Told> {
  for (;;) {
    const each = await admin.get<Told>(`/consents/${id}`);
    if (each.state === "delivered") return each;
    if (each.state === "parked" || each.state === "discarded")
      throw new Fault("PEER_REFUSED", `${id} is not in force: ${each.why}`);
    if (Date.now() > end)
      throw new Fault(
        "PEER_BUSY",
        `${id} is kept, and not in force yet: ${each.why ?? "the registry has not answered"}`,
      );
    await wait(lookMs);
  }
}

const stateOf = ({ state, why }: Pick<ConsentLine, "state" | "why">): string =>
  state === "delivered" ? "in force" : `${state}, not in force${why ? `: ${why}` : ""}`;

async function show({ reason, json, ...flags }: ShowFlags): Promise<void> {
  const body = { patientIds: await patientIdsOf(flags), ...(reason === undefined ? {} : { reason }) };
  const lines = await adminOf(flags).post<readonly ConsentLine[]>("/consents/search", body);
  if (json) return print(JSON.stringify(lines));
  if (lines.length === 0) return print("this house has told of none");
  const rows = lines.map(({ id, at, decision, orgs, forms, reason, ...state }) => [
    id.slice(-8),
    at,
    decision === "share" ? "shares" : "withholds",
    forms ? forms.join(",") : "all forms",
    orgs ? orgs.join(",") : "all houses",
    stateOf(state),
    reason,
  ]);
  for (const line of columns(rows)) print(line);
}

/** `semrs journal`: what waits, is held, parked or was refused at a site, and the release of it; through the admin port. */
import { Command } from "commander";
import { reasonOf } from "../errors.ts";
import { openAdminClient } from "./admin-client.ts";

type Options = { readonly admin: string; readonly data: string; readonly json?: boolean; readonly reason?: string };
type Listed = {
  readonly items: readonly {
    id: string;
    kind: string;
    channel: string;
    state: string;
    code: string | null;
    reason: string | null;
    since: string;
  }[];
  readonly deliveries: readonly {
    id: string;
    kind: string;
    destination: string;
    state: string;
    attempts: number;
    due: string;
    reason: string | null;
  }[];
  readonly refused: readonly {
    id: string;
    source: string;
    controlId: string;
    code: string | null;
    reason: string | null;
    receivedAt: string;
  }[];
};

const exitUnavailable = 69;

export function journalCommand(): Command {
  const journal = new Command("journal").summary("what waits, is held or parked at a site; release it or discard it");
  const add = (name: string, summary: string, work: (options: Options, id: string) => Promise<void>) =>
    journal
      .command(name)
      .summary(summary)
      .requiredOption("--admin <url>", "admin port of the site, http://127.0.0.1:PORT")
      .requiredOption("--data <folder>", "data folder of the site (its admin.token is read)")
      .option("--json", "print JSON")
      .action(async (...args: unknown[]) => {
        const command = args.at(-1) as Command;
        try {
          await work(command.opts<Options>(), String(command.args[0] ?? ""));
        } catch (thrown) {
          process.stderr.write(`semrs journal: ${reasonOf(thrown)}\n`);
          process.exitCode = exitUnavailable;
        }
      });
  add("list", "documents, instances and deliveries that are not done, with the reason", list);
  for (const verb of ["release", "discard"] as const) {
    add(verb, `${verb} one of them`, act(verb))
      .argument("<id>")
      .requiredOption("--reason <text>", "why; it is written to the log");
  }
  return journal;
}

async function list({ admin, data, json }: Options): Promise<void> {
  const listed = await openAdminClient(admin, data).get<Listed>("/journal");
  if (json) return void process.stdout.write(`${JSON.stringify(listed)}\n`);
  const rows = [
    ...listed.items.map(({ id, kind, state, since, code, reason }) => [
      id,
      kind,
      state,
      since,
      code ?? "",
      reason ?? "",
    ]),
    ...listed.deliveries.map(({ id, kind, destination, state, due, reason }) => [
      id,
      `${kind} → ${destination}`,
      state,
      due,
      "",
      reason ?? "",
    ]),
    ...listed.refused.map(({ id, source, receivedAt, code, reason }) => [
      id,
      `from ${source}`,
      "refused",
      receivedAt,
      code ?? "",
      reason ?? "",
    ]),
  ];
  for (const row of rows) process.stdout.write(`${row.join("  ")}\n`);
  if (rows.length === 0) process.stderr.write("nothing waits, is held, parked or refused\n");
}

const act =
  (verb: "release" | "discard") =>
  async ({ admin, data, reason }: Options, id: string): Promise<void> => {
    const answer = await openAdminClient(admin, data).post<{ state: string }>(
      `/journal/${encodeURIComponent(id)}/${verb}`,
      { reason },
    );
    process.stdout.write(`${id} ${answer.state}\n`);
  };

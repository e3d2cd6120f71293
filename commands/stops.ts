/** `semrs pause`, `resume`, `drain`: what a running site sends and takes in, by channel and system. */
import { setTimeout as wait } from "node:timers/promises";
import { Command } from "commander";
import type { StopLine, StopVerb, ToldStop } from "../pipeline/stops.ts";
import { adminOf, type Where } from "./admin-client.ts";
import { guarded, print } from "./exit.ts";

type Options = Where & { readonly json?: boolean; readonly reason: string; readonly wait?: boolean };

const summaries: Readonly<Record<StopVerb, string>> = {
  pause: "send nothing of a channel, or to a system or partner, until it is resumed; what comes is still accepted",
  drain: "take in nothing more of a channel, or from a system, and send what is queued",
  resume: "end a pause or a drain",
};
const lookMs = 500;

export const stopCommand = (verb: StopVerb): Command => {
  const command = new Command(verb)
    .summary(summaries[verb])
    .description(
      `${summaries[verb]}. It is in force at once and after every restart; semrs status and /health/ready tell of it.`,
    )
    .argument("<name>", "a channel, system or partner; channel:NAME or system:NAME where both have the name")
    .requiredOption("--reason <text>", "why; it is told with it")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
    .option("--data <folder>", "its data folder instead (admin.token is read)")
    .option("--json", "print JSON")
    .addHelpText("before", `Example:\n  semrs ${verb} pacs --reason 'the PACS is being upgraded'\n`)
    .action((name: string, options: Options) => guarded(verb, () => act(verb, name, options)));
  if (verb === "drain") command.option("--wait", "until nothing is left");
  return command;
};

async function act(verb: StopVerb, query: string, { reason, json, wait: isPatient, ...where }: Options): Promise<void> {
  const admin = adminOf(where);
  const told = await admin.post<ToldStop>(`/stops/${encodeURIComponent(query)}/${verb}`, { reason });
  let { left } = told;
  while (isPatient && left > 0) {
    await wait(lookMs);
    const lines = await admin.get<readonly StopLine[]>("/stops");
    left = lines.find(({ kind, name }) => kind === told.kind && name === told.name)?.left ?? 0;
  }
  if (json) print(JSON.stringify({ ...told, left }));
  else print(`${told.kind} ${told.name} ${told.mode}, ${left} left`);
}

/** `semrs journal`: what is not done at a site and why, the way of one message, and what a person decides; through the admin port. */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Command, Option } from "commander";
import { Fault } from "../../errors.ts";
import { type AdminClient, adminOf, type Where } from "../admin-client.ts";
import { guarded, print, say } from "../exit.ts";
import { type Listed, listLines } from "./list.ts";
import { decideMany } from "./many.ts";
import { isSearch, type SearchOptions, search, searchOptions, states } from "./search.ts";
import { showLines } from "./show.ts";
import { type Traced, traceLines } from "./trace.ts";

type Options = Where &
  SearchOptions & {
    readonly json?: boolean;
    readonly reason?: string;
    readonly held?: boolean;
    readonly state?: string;
    readonly limit?: string;
    readonly reveal?: boolean;
    readonly replace?: boolean;
    readonly parked?: boolean;
    readonly code?: string;
    readonly to?: string;
  };

export function journalCommand(): Command {
  const journal = new Command("journal")
    .summary("what waits, is held or was refused at a site, the way of one message, and what is decided about it")
    .addHelpText(
      "beforeAll",
      "Examples:\n  semrs journal list --held\n  semrs journal list --patient A123456789 --from 2026-11-01\n  semrs journal trace 9f2c04\n  semrs journal show 9f2c04 --reveal --reason 'asked by the vendor' > refused.dcm\n  semrs journal release 9f2c04 --reason 'patient confirmed by admission office'\n  semrs journal release --parked --code PEER_REFUSED --to his --reason 'the HIS was mended'\n  semrs journal release 9f2c04 --replace --reason 'the PACS corrected the series'\n  semrs journal discard 9f2c04 --reason 'sent by mistake'\n  semrs journal resend 9f2c04 --reason 'the channel was corrected'\n",
    );
  const add = (
    name: string,
    summary: string,
    work: (admin: AdminClient, id: string, options: Options) => Promise<void>,
  ) =>
    journal
      .command(name)
      .summary(summary)
      .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
      .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
      .option("--data <folder>", "its data folder instead (admin.token is read)")
      .option("--json", "print JSON")
      .action(async (...args: unknown[]) => {
        const command = args.at(-1) as Command;
        const options = command.opts<Options>();
        await guarded(`journal ${name}`, () => work(adminOf(options), String(command.args[0] ?? ""), options));
      });
  const lists = add(
    "list",
    "documents, instances, deliveries and messages that are not done, with the reason and what to do",
    list,
  )
    .option("--held", "only what waits for a person")
    .addOption(
      new Option(
        "--state <state>",
        "only one state; a search is of accepted, done, refused or filtered, and begins with the first two",
      ).choices(states),
    )
    .option("--limit <count>", "at most so many of each state, or of a page", "100");
  for (const [flags, help] of searchOptions) lists.option(flags, help);
  add("show", "one of them; with --reveal its payload, which is audited", show)
    .argument("<id>", idHelp)
    .option("--reveal", "write the payload to standard output; needs --reason")
    .option("--reason <text>", "why it is read");
  add("trace", "the way of one message, from source to the other house", async (admin, id, { json }) => {
    const traced = await admin.get<Traced>(`/trace/${encodeURIComponent(id)}`);
    print(json ? JSON.stringify(traced) : traceLines(traced).join("\n"));
  }).argument("<id>", idHelp);
  const verbs = {
    release: "let something held or parked go on",
    discard: "end something held, waiting or parked, for good",
    resend: "deliver again, or take a refused or filtered message through its channel again",
  } as const;
  for (const [verb, summary] of Object.entries(verbs)) {
    const isOfMany = verb === "release" || verb === "discard";
    const command = add(verb, summary, async (admin, id, options) => {
      const { reason, json, replace, parked, code, to } = options;
      if (isOfMany && id === "" && parked) return await decideMany(admin, verb, options);
      if (id === "" || parked || code || to)
        throw new Fault("QUERY_INVALID", "name one by its id, or all with --parked --code CODE, and perhaps --to NAME");
      const acted = await admin.post<{ id: string; state: string; count: number }>(
        `/journal/${encodeURIComponent(id)}/${verb}`,
        { reason, ...(replace ? { replace } : {}) },
      );
      const many = acted.count > 1 ? `, ${acted.count} instances of its study` : "";
      print(json ? JSON.stringify(acted) : `${acted.id} ${acted.state}${many}`);
    })
      .argument(isOfMany ? "[id]" : "<id>", idHelp)
      .requiredOption("--reason <text>", "why; it is kept with it");
    if (isOfMany)
      command
        .option("--parked", "all deliveries that are parked, in place of one; needs --code")
        .option("--code <code>", "with --parked: what they were parked for")
        .option("--to <name>", "with --parked: only those to this system or partner");
    if (verb === "release")
      command.option("--replace", "corrected instances stand for those that were kept under their UIDs before");
  }
  return journal;
}

const idHelp = "an id, the last digits of one (4 or more), or a control id";

async function list(admin: AdminClient, _id: string, options: Options): Promise<void> {
  const { json, held, state, limit } = options;
  if (held && (state !== undefined || isSearch(options)))
    throw new Fault("QUERY_INVALID", "--held is a list of its own: give it without --state and without a search");
  if (isSearch(options)) return await search(admin, options);
  const ask = (wanted?: string): Promise<Listed> =>
    admin.get<Listed>(`/journal?limit=${limit}${wanted ? `&state=${encodeURIComponent(wanted)}` : ""}`);
  const [items, parked] = held ? [await ask("held"), await ask("parked")] : [await ask(state), undefined];
  const more = [...(items.more ?? []), ...(parked?.more ?? [])];
  const listed = { ...items, deliveries: (parked ?? items).deliveries, more };
  print(json ? JSON.stringify(listed) : listLines(listed, new Date()).join("\n"));
  if (more.length > 0)
    say(`these are the oldest ${limit}; more are ${more.join(", ")}: --limit, and semrs status counts all`);
}

async function show(admin: AdminClient, id: string, { json, reveal, reason }: Options): Promise<void> {
  if (reveal) {
    if (!reason) throw new Fault("QUERY_INVALID", '--reveal needs --reason "…": that it was read, and why, is kept');
    const body = await admin.download(`/journal/${encodeURIComponent(id)}/reveal`, { reason });
    // As fast as it is read: a payload may be larger than memory.
    return await pipeline(Readable.from(body, { objectMode: false }), process.stdout, { end: false });
  }
  const traced = await admin.get<Traced>(`/trace/${encodeURIComponent(id)}`);
  print(json ? JSON.stringify({ ...traced, steps: undefined }) : showLines(traced).join("\n"));
}

/** `semrs status`: what a site accepted against what became of it, now. */
import { Command } from "commander";
import type { Status } from "../pipeline/admin-routes.ts";
import { sizeText } from "../pipeline/duration.ts";
import type { Fate } from "../store/reconcile.ts";
import { adminOf, type Where } from "./admin-client.ts";
import { columns, exits, guarded, print, say } from "./exit.ts";

/** A million messages take some ten seconds. */
const maxMs = 300_000;

export function statusCommand(): Command {
  return new Command("status")
    .summary("what a site accepted against what became of it, and how much of it is kept, by channel")
    .description(
      "accepted = delivered + queued + held + parked + filtered + refused + discarded, for each channel, looked at now. Exit 65 when it does not hold.",
    )
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
    .option("--data <folder>", "its data folder instead (admin.token is read)")
    .option("--json", "print JSON")
    .addHelpText("before", "Example:\n  semrs status\n")
    .action((where: Where & { readonly json?: boolean }) =>
      guarded("status", async () => {
        const balance = await adminOf(where).get<Status>("/status", maxMs);
        if (where.json) print(JSON.stringify(balance));
        else print(balanceLines(balance).join("\n"));
        for (const { kind, name, mode, since, left, reason } of balance.stops)
          say(`${kind} ${name} ${mode} since ${since}, ${left} left: ${reason}`);
        for (const { destination, between, timeZone, opens, left } of balance.windows)
          say(
            `${destination} takes deliveries from ${between.join(" to ")} (${timeZone}): ${left} wait, opens at ${opens}`,
          );
        if (balance.holds) return;
        say(`semrs status: ${balance.failed ?? `${balance.lost} accepted and nowhere to be found; semrs verify`}`);
        process.exitCode = exits.data;
      }),
    );
}

const shown = [
  "delivered",
  "queued",
  "held",
  "parked",
  "filtered",
  "refused",
  "discarded",
  "lost",
] as const satisfies readonly Fate[];

/** One line a channel; a hyphen stands for what no channel took. `kept`: octets of its records. */
export const balanceLines = ({ channels, kept }: Pick<Status, "channels" | "kept">): readonly string[] =>
  columns([
    ["channel", "accepted", ...shown, "kept"],
    ...channels.map((sum) => [
      sum.channel || "-",
      String(sum.accepted),
      ...shown.map((fate) => String(sum[fate])),
      sizeText(kept[sum.channel] ?? 0),
    ]),
  ]);

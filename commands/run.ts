/** `semrs run`: one site, from its configuration, until SIGTERM or SIGINT. */
import { setFlagsFromString } from "node:v8";
import { Command } from "commander";
import { codeOf, Fault, reasonOf } from "../errors.ts";
import { openLog } from "../log.ts";
import { loadConfig } from "../pipeline/config.ts";
import { type Finding, findingText } from "../pipeline/config-findings.ts";
import { exitOf, exits, say } from "./exit.ts";
import { startSite } from "./start-site.ts";

/**
 * The old generation may hold as much garbage as there is alive (decision 0026). V8's own factor collects a small heap whole every
 * 12 MB received, since octets that pass through count as growth. Not where a control group gives less than this: under a flood of frames.
 */
export const heapGrowth = "--heap-growing-percent=100";
const ampleBytes = 512 * 1024 * 1024;

export function runCommand(): Command {
  return new Command("run")
    .summary("run one site until it is told to stop")
    .description(
      "Runs the site that `site` in the configuration names, in the foreground. One line of JSON an event on standard output.",
    )
    .option("-c, --config <file>", "configuration", "channels.yaml")
    .option("--until-input-ends", "stop when standard input ends, as a supervisor's pipe does")
    .addHelpText("before", "Example:\n  SITE=hospital-a semrs run --config channels.yaml\n")
    .action(async ({ config: file, untilInputEnds }: { config: string; untilInputEnds?: boolean }) => {
      if (process.constrainedMemory() >= ampleBytes) setFlagsFromString(heapGrowth);
      let reload: (() => void) | undefined;
      let isReloadOwed = false;
      process.on("SIGHUP", () => {
        // Unheard it would end the process; of a house that is still starting, the file may be newer than what it has read.
        if (reload) reload();
        else isReloadOwed = true;
      });
      try {
        const warnings: Finding[] = [];
        const config = loadConfig(file, process.env, (warning) => warnings.push(warning));
        const log = openLog(config.site);
        for (const warning of warnings)
          log("config.warned", { code: warning.code, reason: findingText(warning) }, "warn");
        const end = (thrown: unknown): void => {
          log("engine.failed", { code: codeOf(thrown), reason: reasonOf(thrown) }, "error");
          process.exit(exitOf(thrown));
        };
        // One line that quotes nothing, in place of Node's own; an unreadable disk shows itself so, too.
        process.on("uncaughtException", end);
        process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
          say(
            `semrs: the log on standard output cannot be written (${code}), and no house runs without one; see who reads it`,
          );
          process.exit(exits.software);
        });
        const started = await startSite(config, log);
        let isStopping = false;
        let interrupted = false;
        const stop = (): void => {
          if (isStopping) return;
          isStopping = true;
          started.stop().then(
            () => process.exit(0),
            () => process.exit(1),
          );
        };
        // A sync that failed once may succeed the second time without having written: a new process begins from what is there.
        void started.store.failed.then(end);
        process.on("SIGTERM", stop);
        // A person who asks twice does not wait for what hangs.
        process.on("SIGINT", () => {
          if (interrupted) process.exit(1);
          interrupted = true;
          stop();
        });
        reload = () => {
          try {
            started.reload();
          } catch {
            // Whatever is wrong with the file is in the log already, and no reason for a house to end.
          }
        };
        if (isReloadOwed) reload();
        if (untilInputEnds) process.stdin.resume().once("end", stop).once("error", stop);
      } catch (thrown) {
        say(`semrs: ${reasonOf(thrown)}`);
        if (!(thrown instanceof Fault)) say((thrown as Error).stack ?? "");
        process.exit(exitOf(thrown));
      }
    });
}

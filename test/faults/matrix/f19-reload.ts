/** F19: a configuration that is wrong, and a house that is told to take it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const connections = 4;
const mistakes: readonly ((yaml: string) => string)[] = [
  (yaml) => yaml.replace("channels:", "channels: ["),
  (yaml) => yaml.replace("seal: { profile: semrs-2 }", "seal: { profile: semrs-9 }"),
  (yaml) => yaml.replace("source: [his]", "source: [hiss]"),
  () => "",
];

export const badReload: Trial = {
  id: "F19",
  fault: `${mistakes.length} wrong configurations, each with SIGHUP under load`,
  criterion: "the old one stays in force; the error says line and column",
  run: async () => {
    await using exchange = await openExchange();
    const house = exchange.house("hospital-a");
    const { signal } = exchange;
    const file = join(exchange.folder, "hospital-a", "channels.yaml");
    const right = readFileSync(file, "utf8");
    const load = openLoad(house.his, connections, "RELOAD.", {
      perPatient: 5,
      isInsisting: true,
      everyMs: 200,
      signal,
    });
    const refusals = () => [...house.log().matchAll(/"event":"config\.refused".*/g)];
    const answers: string[] = [];
    for (const [n, mistake] of mistakes.entries()) {
      const wrong = mistake(right);
      if (wrong === right) throw new Error(`mistake ${n} changes nothing`);
      const before = load.acknowledged.size;
      await until("load is under way", () => load.acknowledged.size > before + 10, 60_000);
      writeFileSync(file, wrong);
      house.process.kill("SIGHUP");
      await until("it is refused", () => refusals().length > n, 20_000).catch(() => undefined);
      answers.push(String(refusals()[n]?.[0] ?? ""));
      writeFileSync(file, right);
    }
    const before = load.acknowledged.size;
    await until("load goes on", () => load.acknowledged.size > before + 10, 60_000);
    await load.stop();
    const drainedMs = await exchange.drain([load]);
    const placed = answers.filter((answer) => /channels\.yaml:\d+:\d+/.test(answer)).length;
    return await exchange.figures([load], drainedMs, {
      notes: [`${placed} of ${answers.length} refusals name line and column`],
      criteria: {
        "each is refused in the log": answers.every((answer) => answer !== ""),
        "line and column are named where there is a line": placed >= mistakes.length - 1,
        "it is ready": (await exchange.ready("hospital-a")).startsWith("200"),
      },
    });
  },
};

/** F12: the wall clock of hospital A jumps by years, there and back. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { until } from "../../sites.ts";
import { clockEnv } from "../clock.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const yearMs = 365 * 24 * 3600 * 1000;
const jumps = [5, 0, -3, 0] as const;
const stayMs = 6_000;
const connections = 4;

export const clock: Trial = {
  id: "F12",
  fault: `hospital A's clock jumps by ${jumps.filter((years) => years !== 0).join(" and ")} years and back under load`,
  criterion: "it accepts throughout; deliveries go on when the clock is right again; what is parked is told",
  run: async ({ told }) => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-clock-"));
    const file = join(folder, "offset");
    writeFileSync(file, "0");
    try {
      await using exchange = await openExchange({ env: { "hospital-a": clockEnv(file) } });
      const { his, process: a } = exchange.house("hospital-a");
      const { signal } = exchange;
      const load = openLoad(his, connections, "CLOCK.", { perPatient: 5, isInsisting: true, everyMs: 300, signal });
      await until("load is under way", () => load.acknowledged.size > 10, 60_000);
      const during: number[] = [];
      for (const years of jumps) {
        const before = load.acknowledged.size;
        writeFileSync(file, String(years * yearMs));
        await wait(stayMs);
        during.push(load.acknowledged.size - before);
        told(`${years} years: ${during.at(-1)} acknowledged, ${exchange.count([load]).lost} not there yet`);
      }
      await load.stop();
      const drainedMs = await exchange.drain([load], 90_000);
      const { admin } = exchange.house("hospital-a");
      const { deliveries: parked } = await admin.get<{ deliveries: readonly { id: string }[] }>(
        "/journal?state=parked",
      );
      return await exchange.figures([load], drainedMs, {
        notes: [`acknowledged meanwhile: ${during.join(", ")}`, `${parked.length} parked for a person`],
        criteria: {
          "it accepts throughout": during.every((count) => count > 0),
          "the process goes on": a.exitCode === null,
          "what is parked is told": parked.length === 0 || /"event":"route\.parked"/.test(exchange.log()),
        },
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

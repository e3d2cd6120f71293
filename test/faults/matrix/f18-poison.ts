/** F18: a document that HIS B will not have stands at the head of the queue. */
import { until } from "../../sites.ts";
import { openLoad } from "../load.ts";
import { openExchange } from "./exchange.ts";
import type { Trial } from "./trial.ts";

const connections = 4;
/** Only the first connection's first document says so. */
const poisoned = "POISON.";

type Line = { readonly id: string; readonly kind: string; readonly record: string | null };

export const poison: Trial = {
  id: "F18",
  fault: "HIS B refuses a document at the head of the queue (AE)",
  criterion: "parked with an alarm, others flow; arrives once a person resends it",
  run: async () => {
    await using exchange = await openExchange();
    const { his } = exchange.house("hospital-a");
    const { signal } = exchange;
    const heal = exchange.poison(`extension="${poisoned}.`);
    const bad = openLoad(his, 1, poisoned, { isInsisting: true, everyMs: 60_000, signal });
    await until("it is acknowledged", () => bad.acknowledged.size === 1, 60_000);
    const load = openLoad(his, connections, "GOOD.", { perPatient: 5, isInsisting: true, everyMs: 200, signal });
    await until("load is under way", () => load.acknowledged.size > 60, 60_000);
    await load.stop();
    const drainedMs = await exchange.drain([load]);
    const flowing = exchange.count([load]).lost === 0;
    const { admin } = exchange.house("hospital-b");
    const { deliveries: parked } = await admin.get<{ deliveries: readonly Line[] }>("/journal?state=parked");
    const alarm = /"level":"error"[^\n]*"event":"deliver\.parked"|"event":"deliver\.parked"[^\n]*"level":"error"/.test(
      exchange.log(),
    );
    heal();
    for (const { id } of parked) await admin.post(`/journal/${id}/resend`, { reason: "HIS B takes it now" });
    const ledgers = [bad, load];
    await exchange.drain(ledgers, 60_000);
    return await exchange.figures(ledgers, drainedMs, {
      notes: [`parked: ${parked.map(({ kind }) => kind).join(", ")}`],
      criteria: {
        "others flow": flowing,
        "it alone is parked": new Set(parked.map(({ record }) => record)).size === 1,
        "an alarm in the log": alarm,
      },
    });
  },
};

/** What waits for each system and partner that something is sent to: how much, and since when. */
import { Gauge, type Registry } from "prom-client";
import type { Queue } from "../store/scans.ts";
import type { Store } from "../store/store.ts";
import type { Config } from "./config.ts";
import { waitingSince } from "./windows.ts";

/** What waits under a name that the configuration has no more: labels are as many as are configured, and one. */
const gone = "-";

const destinationsOf = ({ own, partners, site }: Config): readonly string[] => [
  ...Object.entries(own.systems).flatMap(([name, { mllp, dicom }]) => (mllp?.connect || dicom?.connect ? [name] : [])),
  ...Object.keys(partners).filter((org) => org !== site),
];

/** 0 where nothing waits, so that a rule sees that it is over. */
export function queueGauges(registry: Registry, { scans }: Pick<Store, "scans">, config: Config): void {
  // Both are read at once, for one look.
  let asked: Promise<readonly Queue[]> | undefined;
  const queues = (): Promise<readonly Queue[]> => {
    asked ??= scans.queues(Date.now()).finally(() => {
      asked = undefined;
    });
    return asked;
  };
  const gauge = (
    name: string,
    help: string,
    valuesOf: (queues: readonly Queue[]) => readonly [string, number][],
    together: (one: number, other: number) => number,
  ) =>
    new Gauge({
      name,
      help,
      labelNames: ["destination"],
      registers: [registry],
      async collect() {
        const values = valuesOf(await queues());
        const names = new Set(destinationsOf(config));
        this.reset();
        for (const destination of names) this.set({ destination }, 0);
        for (const [destination, value] of values) if (names.has(destination)) this.set({ destination }, value);
        const others = values.flatMap(([destination, value]) => (names.has(destination) ? [] : [value]));
        if (others.length > 0)
          this.set(
            { destination: gone },
            others.reduce((one, other) => together(one, other)),
          );
      },
    });
  gauge(
    "semrs_queue_deliveries",
    "Deliveries to a system or partner whose time has come, and that it has not taken.",
    (all) => all.map(({ destination, count }) => [destination, count]),
    (one, other) => one + other,
  );
  gauge(
    "semrs_queue_oldest_seconds",
    "Age of the oldest of them; 0 while its delivery window is shut.",
    (all) => {
      const now = Date.now();
      const ages = waitingSince(config, all, now).map(({ destination, since }) => [destination, now - since] as const);
      return ages.map(([destination, ms]) => [destination, Math.max(0, ms / 1000)]);
    },
    Math.max,
  );
}

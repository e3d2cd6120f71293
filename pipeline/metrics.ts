/** One metric a station, plus gauges of what rests: read on the admin port's `/metrics`. Labels never carry data of a message. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ChannelSum } from "../store/reconcile.ts";
import type { Counts } from "../store/scans.ts";
import type { Store } from "../store/store.ts";
import type { Config } from "./config.ts";
import { queueGauges } from "./queue-gauges.ts";

export type Station =
  | "source"
  | "filter"
  | "transform"
  | "validate"
  | "assemble"
  | "seal"
  | "route"
  | "fetch"
  | "open"
  | "deliver"
  | "repository"
  | "registry";

export type Metrics = {
  readonly registry: Registry;
  /** One pass of a station: how it ended (`ok` or an error code), and how long it took. */
  passed(station: Station, channel: string, outcome: string, ms: number): void;
  /** Octets between sites, by whether TLS carried them. */
  exchanged(bytes: number, tls: boolean): void;
  /** Whether a system answered its last C-ECHO. */
  reached(system: string, isUp: boolean): void;
  /** What the last reconciliation found. */
  reconciled(channels: readonly ChannelSum[], holds: boolean): void;
};

/** Metrics of one site; gauges are read from the store when somebody looks. `config`: whose systems and partners have a queue. */
export function openMetrics(site: string, store: Store, config?: Config): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ site });
  const registers = [registry];
  const seconds = new Histogram({
    name: "semrs_station_seconds",
    help: "Duration of one pass of a station.",
    labelNames: ["channel", "station", "outcome"],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers,
  });
  const bytes = new Counter({
    name: "semrs_peer_bytes_total",
    help: "Octets of envelopes between sites, by transport.",
    labelNames: ["tls"],
    registers,
  });
  const up = new Gauge({
    name: "semrs_system_up",
    help: "Whether a system answered its last C-ECHO.",
    labelNames: ["system"],
    registers,
  });
  const accepted = new Gauge({
    name: "semrs_accepted",
    help: "What was accepted, by channel and what became of it, as last reconciled; lost must be 0.",
    labelNames: ["channel", "fate"],
    registers,
  });
  const holding = new Gauge({
    name: "semrs_reconciled",
    help: "Whether everything accepted was accounted for, as last reconciled.",
    registers,
  });
  const gauge = (name: string, help: string, of: keyof Counts) =>
    new Gauge({
      name,
      help,
      labelNames: ["state"],
      registers,
      async collect() {
        const counts = await store.scans.recentCounts();
        this.reset();
        for (const [state, count] of Object.entries(counts[of])) this.set({ state }, count);
      },
    });
  gauge("semrs_arrivals", "Arrivals by state.", "arrivals");
  gauge("semrs_items", "Documents and instances by state.", "items");
  gauge("semrs_records", "Sealed records by state.", "records");
  gauge("semrs_deliveries", "Deliveries by state.", "deliveries");
  if (config) queueGauges(registry, store, config);
  new Gauge({
    name: "semrs_emergencies_unreviewed",
    help: "Accesses in an emergency that nobody has reviewed.",
    registers,
    collect() {
      this.set(store.emergencies.waiting().count);
    },
  });
  new Gauge({
    name: "semrs_emergency_oldest_seconds",
    help: "Age of the oldest of them; 0: there is none.",
    registers,
    collect() {
      const { since } = store.emergencies.waiting();
      this.set(since === null ? 0 : Math.max(0, (Date.now() - since) / 1000));
    },
  });
  bytes.inc({ tls: "true" }, 0);
  bytes.inc({ tls: "false" }, 0);
  return {
    registry,
    passed: (station, channel, outcome, ms) => seconds.observe({ channel, station, outcome }, ms / 1000),
    reached: (system, isUp) => up.set({ system }, isUp ? 1 : 0),
    reconciled: (channels, holds) => {
      accepted.reset();
      for (const { channel, accepted: _all, ...sum } of channels)
        for (const [fate, count] of Object.entries(sum)) accepted.set({ channel, fate }, count);
      holding.set(holds ? 1 : 0);
    },
    exchanged: (count, tls) => bytes.inc({ tls: String(tls) }, count),
  };
}

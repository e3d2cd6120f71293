/** What a house needs to look at itself and to tell of it: its configuration, keys and store, and nothing that listens. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pemToDer } from "../envelope/certificate.ts";
import type { LogFields } from "../log.ts";
import { type Alerting, openAlerting } from "../pipeline/alerts.ts";
import { loadConfig } from "../pipeline/config.ts";
import { loadKeys } from "../pipeline/identity.ts";
import { openReconciler } from "../pipeline/reconcile.ts";
import type { Site } from "../pipeline/site.ts";
import { openStore } from "../store/index.ts";
import type { Store } from "../store/store.ts";

export type AlertSite = {
  readonly site: Site;
  readonly store: Store;
  readonly log: readonly { readonly event: string; readonly fields: LogFields }[];
  /** Begins to look, `alerts` being those of channels.yaml, of a site that differs so. */
  begin(alerts: string, differing?: Partial<Site>): Alerting;
  close(): Promise<void>;
};

export async function openAlertSite(pki: string, { now = () => new Date() } = {}): Promise<AlertSite> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-alerts-"));
  const file = join(folder, "channels.yaml");
  const shipped = readFileSync(join(import.meta.dirname, "..", "channels.yaml"), "utf8");
  const configured = (alerts: string) => {
    writeFileSync(file, shipped.replace("  hospital-a:\n", `  hospital-a:\n    alerts: ${alerts}\n`));
    return loadConfig(file, { SITE: "hospital-a", PKI: pki, DATA: folder });
  };
  const config = configured("{}");
  const { identity, tls, storageKey } = loadKeys(config);
  const crls = pemToDer(readFileSync(join(pki, "ca.crl"), "utf8"), "X509 CRL");
  const store = await openStore({ folder: config.own.data, key: storageKey, now });
  const log: { event: string; fields: LogFields }[] = [];
  const site = {
    ...{ config, tls, store, now, signal: new AbortController().signal },
    log: (event: string, fields = {}) => void log.push({ event, fields }),
    identity: { ...identity, trust: { ...identity.trust, crls } },
  } as unknown as Site;
  const begun: Alerting[] = [];
  return {
    site,
    store,
    log,
    begin: (alerts, differing = {}) => {
      const own = { ...site, config: configured(alerts), ...differing };
      const alerting = openAlerting(own, openReconciler(own));
      alerting.begin();
      begun.push(alerting);
      return alerting;
    },
    close: async () => {
      await Promise.all(begun.map((each) => each.stop()));
      await store.close();
    },
  };
}

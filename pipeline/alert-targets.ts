/** Who is told of alerts: syslog servers and webhooks, by a name under which their notices are kept. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { sendSyslog } from "../connectors/syslog.ts";
import { postJson } from "../connectors/webhook.ts";
import { Fault } from "../errors.ts";
import { facilities, severities, writeSyslog } from "../formats/syslog.ts";
import type { AlertKind } from "./alert-decisions.ts";
import type { AlertsConfig } from "./config-alerts.ts";
import type { Site } from "./site.ts";

/** What is told: the JSON of a webhook, and the text of a syslog message. */
export type Told = {
  readonly id: string;
  readonly site: string;
  readonly at: string;
  readonly state: "raised" | "resolved";
  readonly kind: AlertKind;
  readonly subject: string;
  readonly says: string;
};
export type Target = {
  readonly name: string;
  /** What a log calls it: of an address the host alone, since the rest may hold a secret. */
  readonly peer: string;
  tell(body: string, signal: AbortSignal): Promise<void>;
};

/** CONFIG_INVALID where a file that a target names cannot be read. */
export function targetsOf(
  { config, tls }: Pick<Site, "config" | "tls">,
  { syslog, webhooks }: AlertsConfig,
): readonly Target[] {
  const read = (path: string): string => {
    const file = resolve(dirname(config.file), path);
    try {
      return readFileSync(file, "utf8");
    } catch (cause) {
      throw new Fault("CONFIG_INVALID", `${file} cannot be read; alerts name it`, { cause });
    }
  };
  return [
    ...syslog.map(({ to: { host, port }, ca }): Target => {
      const keys = { ...tls, ...(ca === undefined ? {} : { ca: read(ca) }) };
      return {
        name: `syslog ${host}:${port}`,
        peer: `syslog ${host}:${port}`,
        tell: (body, signal) => sendSyslog({ host, port, tls: keys }, [syslogOf(JSON.parse(body) as Told)], signal),
      };
    }),
    ...webhooks.map(({ url, ca, token }): Target => {
      const [authority, secret] = [ca && read(ca), token && read(token).trim()];
      return {
        name: `webhook ${url}`,
        peer: `webhook https://${new URL(url).host}`,
        tell: (body, signal) => postJson({ url: new URL(url), ca: authority, token: secret }, body, signal),
      };
    }),
  ];
}

const syslogOf = ({ at, site, state, kind, says }: Told): Uint8Array =>
  writeSyslog({
    facility: facilities.user,
    severity: state === "raised" ? severities.error : severities.notice,
    at,
    host: site,
    app: "semrs",
    messageId: kind,
    text: `${state}: ${says}`,
  });

/** `semrs audit list` and `export`: entries for a person, as JSON, or as ATNA's messages in syslog. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sendSyslog } from "../../connectors/syslog.ts";
import { Fault } from "../../errors.ts";
import { facilities, severities, writeSyslog } from "../../formats/syslog.ts";
import { auditMessage, readAudit } from "../../pipeline/audit.ts";
import { type Config, loadConfig } from "../../pipeline/config.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import type { Audited } from "../../store/store.ts";
import { adminUrl, openAdminClient } from "../admin-client.ts";
import { writeFileOf } from "../envelope/files.ts";
import { columns, print, say } from "../exit.ts";
import { storeOf } from "../store-of.ts";
import { wholeFile } from "../whole.ts";

type Reading = { readonly config: string; readonly after: string; readonly reason?: string };
export type ListFlags = Reading & { readonly json?: boolean; readonly limit: string };
export type ExportFlags = Reading & {
  readonly format: string;
  readonly out?: string;
  readonly to?: string;
  readonly ca?: string;
};

const newLine = Buffer.from("\n");

/** The newest entries, one line each. */
export async function list({ config: file, after, reason, json, limit }: ListFlags): Promise<void> {
  const newest: Audited[] = [];
  for await (const entry of entries(loadConfig(file, process.env), numberOf(after), reason)) {
    newest.push(entry);
    if (newest.length > numberOf(limit)) newest.shift();
  }
  if (json) return newest.forEach((entry) => void print(JSON.stringify(entry)));
  for (const line of columns(newest.map(cells))) print(line);
}

const cells = ({ seq, at, event, outcome, peer, subject, patients, code, reason }: Audited): readonly string[] => [
  String(seq),
  at,
  event,
  outcome,
  peer ?? "-",
  subject?.slice(-8) ?? "-",
  patients.map(({ ids, isDamaged }) => ids?.join("~") ?? (isDamaged ? "damaged" : "erased")).join(",") || "-",
  [code, reason].filter((each) => each).join(" "),
];

/** All entries behind one, to standard output, a file, or a syslog server over TLS. */
export async function exportAudit({ config: file, after, reason, format, out, to, ca }: ExportFlags): Promise<void> {
  const config = loadConfig(file, process.env);
  if (format !== "json" && format !== "rfc5424") throw new Fault("QUERY_INVALID", "--format is json or rfc5424");
  if (to !== undefined && (format !== "rfc5424" || out !== undefined))
    throw new Fault("QUERY_INVALID", "--to sends --format rfc5424, and writes no file");
  let count = 0;
  async function* messages(): AsyncGenerator<Uint8Array> {
    for await (const entry of entries(config, numberOf(after), reason)) {
      count += 1;
      yield format === "json" ? Buffer.from(JSON.stringify(entry)) : syslogOf(config.site, entry);
    }
  }
  if (to !== undefined) await sendSyslog(targetOf(config, to, ca), messages(), new AbortController().signal);
  else if (out === undefined) await pipeline(Readable.from(lines(messages())), process.stdout, { end: false });
  // For its owner alone: what was exported before may be all that is left of those entries.
  else await wholeFile(out, (path) => writeFileOf(path, lines(messages()), 0o600));
  say(`${count} entries`);
}

async function* lines(messages: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const message of messages) yield Buffer.concat([message, newLine]);
}

/** PS3.15 A.6: facility security, MSGID DICOM+RFC3881. */
const syslogOf = (site: string, entry: Audited): Uint8Array =>
  writeSyslog({
    facility: facilities.security,
    severity: entry.outcome === "done" ? severities.notice : severities.warning,
    at: entry.at,
    host: site,
    app: "semrs",
    messageId: "DICOM+RFC3881",
    text: auditMessage(site, entry),
  });

/** The site's own TLS certificate is shown; the server's is checked against `--ca`, or against the site's trust. */
function targetOf(config: Config, to: string, ca: string | undefined) {
  const [, host, port] = /^(?:\[?([^[\]]+)\]?):(\d{1,5})$/.exec(to) ?? [];
  if (!host || !port) throw new Fault("QUERY_INVALID", "--to is HOST:PORT");
  const { tls } = loadKeys(config);
  return { host, port: Number(port), tls: { ...tls, ...(ca === undefined ? {} : { ca: readFileSync(ca, "utf8") }) } };
}

/** From the running site through its admin port, else from the data folder. */
async function* entries(config: Config, after: number, reason = ""): AsyncGenerator<Audited> {
  const store = await storeOf(config);
  if (!store) {
    const admin = openAdminClient(adminUrl(config.own.admin), config.own.data);
    const body = await admin.download("/audit", { after, reason });
    for await (const line of createInterface({ input: Readable.from(body) })) yield JSON.parse(line) as Audited;
    return;
  }
  try {
    yield* readAudit(store, after, reason);
  } finally {
    await store.close();
  }
}

function numberOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new Fault("QUERY_INVALID", `${text} is no number of an entry`);
  return Number(text);
}

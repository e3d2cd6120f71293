/** Syslog messages (RFC 5424) and their frames on a TLS connection (RFC 5425 4.3). */

export type SyslogMessage = {
  readonly facility: number;
  readonly severity: number;
  /** ISO 8601 with milliseconds, UTC. */
  readonly at: string;
  readonly host: string;
  readonly app: string;
  readonly messageId: string;
  readonly text: string;
};

/** RFC 5424 6.2.1. */
export const facilities = { user: 1, security: 10 } as const;
export const severities = { error: 3, warning: 4, notice: 5 } as const;

/** One message without structured data, in UTF-8 with its BOM (RFC 5424 6.4). */
export function writeSyslog({ facility, severity, at, host, app, messageId, text }: SyslogMessage): Buffer {
  const head = `<${facility * 8 + severity}>1 ${at} ${printable(host, 255)} ${printable(app, 48)} ${process.pid} ${printable(messageId, 32)} - `;
  return Buffer.concat([Buffer.from(head, "ascii"), bom, Buffer.from(text, "utf8")]);
}
const bom = Buffer.from([0xef, 0xbb, 0xbf]);

/** PRINTUSASCII, and `-` for nothing. */
const printable = (value: string, max: number): string => value.replace(/[^\x21-\x7e]/g, "?").slice(0, max) || "-";

/** MSG-LEN SP SYSLOG-MSG. */
export const syslogFrame = (message: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${message.length} `, "ascii"), message]);

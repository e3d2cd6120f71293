/** One line of JSON an event on standard output; debug only when asked for. */
import winston from "winston";

/**
 * The only fields a log line may carry. There is no field for a message body,
 * a patient's name or number: what cannot be written cannot leak.
 */
export type LogFields = {
  channel?: string;
  station?: string;
  message?: string;
  controlId?: string;
  peer?: string;
  code?: string;
  /** A fault's message (written without patient data) or an address. */
  reason?: string;
  bytes?: number;
  count?: number;
  ms?: number;
  attempt?: number;
};

export type Level = "debug" | "info" | "warn" | "error";

/** Writes one line: the event's name is `station.past-participle`; level by consequence, info unless said. */
export type Log = (event: `${string}.${string}`, fields?: LogFields, level?: Level) => void;

/** Lines of so many milliseconds go out together: to write one takes longer than to make twenty. */
const gatherMs = 10;

/** A log of one site. Every line has `time`, `level`, `site` and `event`. */
export function openLog(site: string, level: Level = "info"): Log {
  const logger = winston.createLogger({
    level,
    format: winston.format.printf(({ message }) => String(message)),
    transports: [new winston.transports.Stream({ stream: process.stdout, eol: "\n" })],
  });
  let lines: string[] = [];
  const take = (): string => {
    const text = lines.join("\n");
    lines = [];
    return text;
  };
  // What was said last goes out when the process ends, past everything that could wait.
  process.once("exit", () => lines.length > 0 && process.stdout.write(`${take()}\n`));
  return (event, fields = {}, at = "info") => {
    if (!logger.isLevelEnabled(at)) return;
    // Judged by level already, each for itself.
    if (lines.length === 0) setTimeout(() => lines.length > 0 && logger.log("error", take()), gatherMs);
    lines.push(JSON.stringify({ time: new Date().toISOString(), level: at, site, event, ...fields }));
  };
}

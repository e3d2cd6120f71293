/** One line of JSON an event on standard output; debug only when asked for. */
import { Writable } from "node:stream";
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

/** A log of one site. Every line has `time`, `level`, `site` and `event`. */
export function openLog(site: string, level: Level = "info"): Log {
  const logger = winston.createLogger({
    level,
    format: winston.format.printf((info) => JSON.stringify(info.line)),
    transports: [new winston.transports.Stream({ stream: gathered(process.stdout), eol: "\n" })],
  });
  return (event, fields = {}, at = "info") => {
    logger.log({
      level: at,
      message: event,
      line: { time: new Date().toISOString(), level: at, site, event, ...fields },
    });
  };
}

/** Lines of one turn of the event loop go out in one write; what is left goes out when the process ends. */
function gathered(out: NodeJS.WriteStream): Writable {
  let lines: string[] = [];
  const flush = (): void => {
    const text = lines.join("");
    lines = [];
    if (text !== "") out.write(text);
  };
  process.once("exit", flush);
  return new Writable({
    decodeStrings: false,
    write: (line: string, _encoding, done) => {
      if (lines.length === 0) setImmediate(flush);
      lines.push(line);
      done();
    },
  });
}

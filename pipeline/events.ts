/** Events of a running site as server-sent events (HTML, 9.2): what the log says, as it says it, so nothing of a patient. */
import type { Request, Response } from "express";
import { z } from "zod";
import type { Level, Log, LogFields } from "../log.ts";

export type SiteEvent = {
  readonly n: number;
  readonly time: string;
  readonly level: Level;
  readonly event: string;
} & LogFields;

export type Events = {
  /** Those behind a number that are still remembered. */
  since(n: number): readonly SiteEvent[];
  /** Told of each from now on, until the function that comes back is called. */
  subscribe(tell: (event: SiteEvent) => void): () => void;
};

const maxRemembered = 1_000;
const maxUnreadBytes = 1024 * 1024;
const heartbeatMs = 15_000;
const levels = ["debug", "info", "warn", "error"] as const;

export const eventsQuery = z.strictObject({ level: z.enum(levels).default("info") });

/** A log that also tells who listens; the last thousand lines are remembered. */
export function openEvents(log: Log, now: () => Date): { readonly log: Log; readonly events: Events } {
  const listeners = new Set<(event: SiteEvent) => void>();
  let remembered: SiteEvent[] = [];
  let n = 0;
  return {
    log: (event, fields = {}, level = "info") => {
      log(event, fields, level);
      n += 1;
      const told: SiteEvent = { n, time: now().toISOString(), level, event, ...fields };
      remembered.push(told);
      if (remembered.length > 2 * maxRemembered) remembered = remembered.slice(-maxRemembered);
      for (const tell of listeners) tell(told);
    },
    events: {
      since: (last) => remembered.slice(-maxRemembered).filter((each) => each.n > last),
      subscribe: (tell) => {
        listeners.add(tell);
        return () => void listeners.delete(tell);
      },
    },
  };
}

/** Streams until the peer goes; one that does not read is cut, and gets what it missed by Last-Event-ID. */
export function streamEvents({ since, subscribe }: Events, least: Level, request: Request, response: Response): void {
  const isWanted = ({ level }: SiteEvent): boolean => levels.indexOf(level) >= levels.indexOf(least);
  const write = (event: SiteEvent): void => {
    if (!isWanted(event)) return;
    const { n, ...told } = event;
    response.write(`id: ${n}\nevent: ${event.event}\ndata: ${JSON.stringify(told)}\n\n`);
    if (response.writableLength > maxUnreadBytes) response.destroy();
  };
  response.status(200).type("text/event-stream").set("cache-control", "no-store").flushHeaders();
  const last = Number(request.headers["last-event-id"] ?? Number.NaN);
  if (Number.isInteger(last)) since(last).forEach(write);
  const end = subscribe(write);
  const heartbeat = setInterval(() => response.write(": still here\n\n"), heartbeatMs).unref();
  response.once("close", () => {
    clearInterval(heartbeat);
    end();
  });
}

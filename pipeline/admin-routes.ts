/** What the admin port can be asked: one table, which serves the requests and is told as OpenAPI (`/openapi.json`). */
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { openRoutes } from "./admin-health.ts";
import { patientRoutes } from "./admin-patients.ts";
import { get, post, type Route } from "./admin-route.ts";
import { readAudit } from "./audit.ts";
import { confirmClock } from "./belief.ts";
import { findings, listEmergencies, reviewEmergency } from "./emergencies.ts";
import { eventsQuery, streamEvents } from "./events.ts";
import { evidenceOf } from "./evidence.ts";
import { saysGone } from "./gone.ts";
import { listedStates, listJournal, maxListed, recordLine, trace } from "./journal.ts";
import { discard, release, resend, reveal } from "./journal-actions.ts";
import { describeRoutes } from "./openapi.ts";
import type { Balance } from "./reconcile.ts";
import { searchedStates, searchJournal } from "./search.ts";
import type { Site } from "./site.ts";
import { type StopLine, stop, stopLines } from "./stops.ts";
import { saysTurn } from "./turns.ts";
import { verifyStore } from "./verify.ts";
import { saysWindow, shutAt } from "./windows.ts";

/** What /status answers. */
export type Status = Balance & {
  readonly stops: readonly StopLine[];
  /** Destinations outside their delivery window. */
  readonly windows: readonly WindowLine[];
  /** Octets of the records that each channel keeps. */
  readonly kept: Readonly<Record<string, number>>;
};

type WindowLine = {
  readonly destination: string;
  readonly between: readonly [string, string];
  readonly timeZone: string;
  readonly opens: string;
  /** Deliveries that wait for it. */
  readonly left: number;
};

const reasonBody = z.strictObject({ reason: z.string().min(1).max(512) });
const releaseBody = reasonBody.extend({ replace: z.boolean().default(false) });
const id = z.string().regex(/^[0-9a-f]{32}$/, "an id is 32 lower-case hex digits");
const listQuery = z.strictObject({
  state: z.enum(listedStates).optional(),
  after: id.optional().describe("The last delivery of the page before: those behind it."),
  limit: z.coerce.number().int().min(1).max(maxListed).default(maxListed),
});
const auditBody = z.strictObject({ after: z.int().min(0).default(0), reason: z.string().max(512).default("") });
const emergenciesQuery = z.strictObject({
  all: z
    .enum(["true", "false"])
    .default("false")
    .transform((said) => said === "true"),
  limit: z.coerce.number().int().min(1).max(maxListed).default(maxListed),
});
const reviewBody = reasonBody.extend({ by: z.string().min(1).max(128), finding: z.enum(findings) });
const short = z.string().max(64);
/** In the body: no address carries a patient's number. */
const searchBody = z.strictObject({
  controlId: z.string().min(1).max(256).optional(),
  patient: z.string().min(1).max(256).optional().describe("A patient's number."),
  accession: z.string().min(1).max(256).optional().describe("An accession number."),
  envelope: id.optional().describe("The record that an envelope carries: its message."),
  state: z.enum(searchedStates).optional(),
  from: short.optional().describe("ISO 8601."),
  until: short.optional().describe("ISO 8601."),
  after: id.optional().describe("next of the page before."),
  limit: z.int().min(1).max(maxListed).default(100),
});
export const routes: readonly Route[] = [
  ...openRoutes,
  get("/openapi.json", {
    summary: "This description.",
    answer: ({ running }) => describeRoutes(routes, running.site.config.site),
  }),
  get("/events", {
    summary:
      "What happens, as server-sent events: the lines of the log. Last-Event-ID gives what was missed, if it is not too long ago.",
    query: eventsQuery,
    produces: "text/event-stream",
    answer: ({ running: { site }, query, request, response }) =>
      streamEvents(site.events, query.level, request, response),
  }),
  get("/status", {
    summary: "What was accepted against what became of it, by channel.",
    answer: async ({ running: { site, reconciler } }): Promise<Status> => {
      return {
        ...(await reconciler.look()),
        stops: stopLines(site.store),
        windows: windowLines(site),
        kept: site.store.kept.bytes(),
      };
    },
  }),
  get("/counts", { summary: "Rows by state.", answer: ({ running }) => running.site.store.scans.counts() }),
  get("/journal", {
    summary: "What is not done, or what is in one state.",
    query: listQuery,
    answer: ({ running: { site }, query }) => listed(site, listJournal(site.store, query)),
  }),
  post("/journal/search", {
    summary:
      "Arrivals and received records by control id, patient, accession number, envelope, time or state; newest first, in pages.",
    body: searchBody,
    answer: ({ running, body }) => searchJournal(running.site.store, body),
  }),
  get("/trace/{id}", {
    summary: "The way of one message: by an id, the last digits of one, or a control id.",
    answer: async ({ running: { site }, id }) => {
      const told = waits(site, await trace(site.store, id));
      return { ...told, documents: saysGone(site.config, told.documents) };
    },
  }),
  get("/records", { summary: "The newest sealed records.", answer: ({ running }) => records(running.site) }),
  get("/records/{id}/evidence", {
    summary: "What proves who sent what to whom when, as files (Base64) that OpenSSL verifies.",
    answer: ({ running: { site }, id }) => evidenceOf(site, id),
  }),
  post("/journal/{id}/release", {
    summary: "Something held or parked goes on.",
    status: 202,
    body: releaseBody,
    answer: ({ running: { site, releases }, id, body }) => release(site, releases, id, body.reason, body.replace),
  }),
  post("/journal/{id}/discard", {
    summary: "Something held, waiting or parked ends.",
    status: 202,
    body: reasonBody,
    answer: ({ running: { site }, id, body }) => discard(site, id, body.reason),
  }),
  post("/journal/{id}/resend", {
    summary: "A delivery is made again; a refused or filtered message goes through its channel again.",
    status: 202,
    body: reasonBody,
    answer: ({ running: { site, releases }, id, body }) => resend(site, releases, id, body.reason),
  }),
  post("/journal/{id}/reveal", {
    summary: "The payload; the reason is kept as a step.",
    body: reasonBody,
    produces: "application/octet-stream",
    answer: async ({ running: { site }, id: query, body: { reason }, response }) => {
      const { id, body } = await reveal(site, query, reason);
      response.type("application/octet-stream").set("x-semrs-id", id);
      await pipeline(body, response);
    },
  }),
  get("/stops", {
    summary: "Channels and systems that are paused or drained, with what is left.",
    answer: ({ running }) => stopLines(running.site.store),
  }),
  ...(["pause", "drain", "resume"] as const).map((verb) =>
    post(`/stops/{id}/${verb}`, {
      summary: `${verb} a channel, system or partner.`,
      status: 202,
      body: reasonBody,
      answer: ({ running: { site }, id, body }) => stop(site, id, verb, body.reason),
    }),
  ),
  post("/reload", {
    summary: "Reads channels.yaml anew; a file that is wrong, or needs a restart, changes nothing.",
    answer: ({ running }) => running.reload(),
  }),
  post("/clock/confirm", {
    summary: "The clock is right now, whatever was written by one that was not.",
    body: reasonBody,
    answer: ({ running: { site }, body }) => confirmClock(site, body.reason),
  }),
  post("/verify", {
    summary: "Everything that is kept, looked at again: one line a damage, and one at the end.",
    produces: "application/x-ndjson",
    answer: async ({ running: { site }, response }) => {
      response.type("application/x-ndjson");
      await pipeline(verified(site), response);
    },
  }),
  post("/audit", {
    summary: "Entries of the audit log behind one, with whom they are about, oldest first: reading them is one, too.",
    body: auditBody,
    produces: "application/x-ndjson",
    answer: async ({ running: { site }, body: { after, reason }, response }) => {
      response.type("application/x-ndjson");
      await pipeline(lines(readAudit(site.store, after, reason)), response);
    },
  }),
  get("/emergencies", {
    summary: "Accesses in an emergency that nobody has reviewed, oldest first; all of them, newest first.",
    query: emergenciesQuery,
    answer: ({ running: { site }, query }) => listEmergencies(site, query),
  }),
  post("/emergencies/{id}/review", {
    summary: "An access in an emergency was looked at: by whom, what was found, and why; kept in the audit log.",
    body: reviewBody,
    answer: ({ running: { site }, id, body }) => reviewEmergency(site, id, body),
  }),
  ...patientRoutes,
];

/** JSON, one a line; it ends with whoever asked, too. */
async function* lines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`;
}

/** Each damage, which the log has by then, and what was looked at. */
async function* verified({ store, log }: Site): AsyncGenerator<string> {
  const found = verifyStore(store);
  for (let next = await found.next(); ; next = await found.next()) {
    if (!next.done) log("store.damaged", { code: next.value.code, reason: next.value.reason }, "error");
    yield `${JSON.stringify(next.value)}\n`;
    if (next.done) return;
  }
}

const records = (site: Site) =>
  site.store.records.list({ limit: maxListed }).map((record) => recordLine(site.store, record));

const windowLines = ({ config, store, now }: Site): readonly WindowLine[] =>
  shutAt(config, now().getTime()).map(({ destination, window, opens }) => {
    return {
      destination,
      ...window,
      opens: new Date(opens).toISOString(),
      left: store.stops.left("system", destination),
    };
  });

const listed = (site: Site, told: ReturnType<typeof listJournal>) => {
  return { ...waits(site, told), items: saysGone(site.config, told.items) };
};

/** A delivery that waits for its destination's window, or for its turn, says so. */
function waits<Told extends { readonly deliveries: Parameters<typeof saysTurn>[1] }>(site: Site, told: Told): Told {
  const now = site.now().getTime();
  return { ...told, deliveries: saysTurn(site, saysWindow(site.config, told.deliveries, now), now) };
}

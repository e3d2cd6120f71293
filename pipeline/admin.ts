/** The admin port: loopback only. `/metrics` and `/health/*` are open, everything else asks for the token (decision 14). */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import express, { type NextFunction, type Request, type Response } from "express";
import { z } from "zod";
import { codeOf, consequence, Fault, reasonOf } from "../errors.ts";
import type { Delivery, Item } from "../store/store.ts";
import { request } from "./fetch.ts";
import type { Site } from "./site.ts";

const maxListed = 1000;
const maxBody = "64kb";

export type Admin = { readonly address: string; stop(): Promise<void> };

/** What a person may do to something that waits, is held or parked. */
export type Releases = { look(item: Item): void };

const reasonBody = z.strictObject({ reason: z.string().min(1).max(512) });
const fetchBody = z.strictObject({
  patientIds: z
    .array(z.strictObject({ root: z.string().max(256), extension: z.string().max(256) }))
    .min(1)
    .max(64),
});

/** Serves one site's admin port; the token is made at first start in the data folder, mode 0600. */
export async function openAdmin(site: Site, releases: Releases): Promise<Admin> {
  const { host, port } = site.config.own.admin;
  const token = adminToken(site.config.own.data);
  const app = express();
  app.disable("x-powered-by");
  app.get("/metrics", async (_request, response) => {
    response.type(site.metrics.registry.contentType).send(await site.metrics.registry.metrics());
  });
  app.get("/health/live", (_request, response) => void response.json({ live: true }));
  app.get("/health/ready", (_request, response) => {
    const isReady = !site.signal.aborted && site.store.missing.length === 0;
    response.status(isReady ? 200 : 503).json({ ready: isReady, missing: site.store.missing.length });
  });
  app.use((request, response, next) => (isAuthorized(request, token) ? next() : unauthorized(response)));
  app.use(express.json({ limit: maxBody }));
  app.get("/counts", (_request, response) => void response.json(counts(site)));
  app.get("/journal", (_request, response) => void response.json(journal(site)));
  app.get("/records", (_request, response) => void response.json(records(site)));
  app.post(
    "/journal/:id/release",
    action(site, (id, body) => release(site, releases, id, reasonBody.parse(body).reason)),
  );
  app.post(
    "/journal/:id/discard",
    action(site, (id, body) => discard(site, id, reasonBody.parse(body).reason)),
  );
  app.post(
    "/fetch",
    action(site, (_id, body) => fetchNow(site, fetchBody.parse(body).patientIds)),
  );
  app.use((thrown: unknown, _request: Request, response: Response, _next: NextFunction) => refuse(response, thrown));

  const server = app.listen(port, host);
  await once(server, "listening").catch((cause: unknown) => {
    throw new Fault("CONFIG_INVALID", `admin port ${host}:${port} cannot be listened on; is another process there?`, {
      cause,
    });
  });
  return {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const counts = ({ store }: Site) => ({
  arrivals: store.arrivals.counts(),
  items: store.items.counts(),
  records: store.records.counts(),
  deliveries: store.deliveries.counts(),
});

/** What waits, is held, parked or was refused: why, since when, and its id; nothing of a patient. */
function journal({ store }: Site) {
  const items = (["waiting", "held"] as const).flatMap((state) => store.items.list({ state, limit: maxListed }));
  const deliveries = (["queued", "inflight", "ambiguous", "parked"] as const).flatMap((state) =>
    store.deliveries.list({ state, limit: maxListed }),
  );
  return {
    items: items.map(({ id, kind, channel, state, code, reason, since, joins }) => {
      return {
        id,
        kind,
        channel,
        state,
        code,
        reason,
        since,
        study: joins.find((join) => join.startsWith("study:")) ?? null,
      };
    }),
    deliveries: deliveries.map(({ id, kind, channel, destination, record, state, attempts, due, code, reason }) => {
      return {
        id,
        kind,
        channel,
        destination,
        record,
        state,
        attempts,
        due: new Date(due).toISOString(),
        code,
        reason,
      };
    }),
    refused: store.arrivals
      .list({ state: "refused", limit: maxListed })
      .map(({ id, source, controlId, sender, code, reason, receivedAt }) => ({
        id,
        source,
        controlId,
        sender,
        code,
        reason,
        receivedAt,
      })),
    missing: store.missing,
  };
}

const records = ({ store }: Site) =>
  store.records.list({ limit: maxListed }).map(({ id, channel, origin, author, state, parts, createdAt }) => {
    const receipts = store.records.evidence(id).map(({ kind, from }) => ({ kind, from }));
    return { id, channel, origin, author, state, parts: parts.length, createdAt, receipts };
  });

/** A held item goes back to wait and is looked at; a parked delivery is due now. */
async function release(site: Site, releases: Releases, id: string, reason: string) {
  const { store, log, now } = site;
  const item = store.items.find(id);
  if (item?.state === "held") {
    await store.commit([
      store.items.mark(id, { state: "waiting", code: null, reason: null, since: now().toISOString() }),
    ]);
    releases.look({ ...item, state: "waiting" });
    log("admin.released", { message: id, reason });
    return { id, state: "waiting" };
  }
  const delivery = store.deliveries.find(id);
  if (delivery && isOpen(delivery)) {
    await store.commit([
      store.deliveries.mark(id, { state: "queued", due: now().getTime(), code: null, reason: null }),
    ]);
    site.wake();
    log("admin.released", { message: id, reason });
    return { id, state: "queued" };
  }
  throw new Fault("DOCUMENT_UNKNOWN", "nothing with this id is held, parked or queued; list it with GET /journal");
}

async function discard({ store, log }: Site, id: string, reason: string) {
  const item = store.items.find(id);
  const delivery = store.deliveries.find(id);
  if (item?.state === "held" || item?.state === "waiting")
    await store.commit([store.items.mark(id, { state: "discarded", reason })]);
  else if (delivery && isOpen(delivery))
    await store.commit([store.deliveries.mark(id, { state: "discarded", reason })]);
  else throw new Fault("DOCUMENT_UNKNOWN", "nothing with this id is held, parked or queued; list it with GET /journal");
  log("admin.discarded", { message: id, reason }, "warn");
  return { id, state: "discarded" };
}

const isOpen = ({ state }: Delivery): boolean => state === "parked" || state === "queued" || state === "ambiguous";

/** `fetch: { request: api }`: another program asks for a patient's records. */
async function fetchNow(site: Site, patientIds: readonly { root: string; extension: string }[]) {
  const channel = site.config.own.channels.find(
    (each) => each.kind === "inbound" && each.fetch.when.some((when) => "request" in when),
  );
  if (channel?.kind !== "inbound")
    throw new Fault("NOT_PERMITTED", "no channel of this site fetches on request; add { request: api }");
  await site.store.commit(request(site, channel, patientIds, []));
  site.wake();
  return { channel: channel.name, state: "queued" };
}

const action =
  (_site: Site, work: (id: string, body: unknown) => Promise<unknown>) =>
  async (request: Request, response: Response): Promise<void> => {
    try {
      response.status(202).json(await work(String(request.params.id ?? ""), request.body ?? {}));
    } catch (thrown) {
      refuse(response, thrown);
    }
  };

function refuse(response: Response, thrown: unknown): void {
  const isBody = thrown instanceof z.ZodError;
  response.status(isBody ? 400 : consequence(thrown).http).json({
    code: isBody ? "QUERY_INVALID" : codeOf(thrown),
    reason: isBody ? z.prettifyError(thrown) : reasonOf(thrown),
  });
}

const unauthorized = (response: Response): void =>
  void response.status(401).json({
    code: "NOT_PERMITTED",
    reason: "send Authorization: Bearer with the token in admin.token of the data folder",
  });

function isAuthorized(request: Request, token: string): boolean {
  const digest = (value: string) => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(request.headers.authorization ?? ""), digest(`Bearer ${token}`));
}

function adminToken(folder: string): string {
  const file = join(folder, "admin.token");
  if (!existsSync(file)) writeFileSync(file, randomBytes(32).toString("hex"), { mode: 0o600, flag: "wx" });
  return readFileSync(file, "utf8").trim();
}

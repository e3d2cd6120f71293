/** The admin port: loopback only. `/metrics` and `/health/*` are open, everything else asks for the token (decision 14). */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import express, { type NextFunction, type Request, type Response } from "express";
import { z } from "zod";
import { codeOf, consequence, Fault, reasonOf } from "../errors.ts";
import { writtenPatient } from "../formats/hl7-patient.ts";
import { writeDurably } from "../store/durable.ts";
import { request } from "./fetch.ts";
import type { Health } from "./health.ts";
import { identifyHeld } from "./identify.ts";
import { listedStates, listJournal, maxListed, recordLine, trace } from "./journal.ts";
import { discard, type Releases, release, resend, reveal } from "./journal-actions.ts";
import type { Site } from "./site.ts";
import { verifyStore } from "./verify.ts";

const maxBody = "64kb";

export type Admin = { readonly address: string; stop(): Promise<void> };

const reasonBody = z.strictObject({ reason: z.string().min(1).max(512) });
const releaseBody = reasonBody.extend({ replace: z.boolean().default(false) });
const listQuery = z.strictObject({
  state: z.enum(listedStates).optional(),
  limit: z.coerce.number().int().min(1).max(maxListed).default(maxListed),
});
const short = z.string().max(64);
/** The patient as this house knows them, where a channel delivers with identity: ours. */
const toldPatient = z.strictObject({
  numbers: z
    .array(
      z.strictObject({
        id: short.min(1),
        issuer: short.nullable().default(null),
        typeCode: short.nullable().default(null),
      }),
    )
    .min(1)
    .max(64),
  familyName: z.string().max(256).default(""),
  givenName: z.string().max(256).default(""),
  birthDate: short.default(""),
  sex: short.default(""),
  patientClass: short.default(""),
  visitNumber: short.default(""),
  accessionNumber: z.string().max(16).nullable().default(null),
});
const fetchBody = z.strictObject({
  patientIds: z
    .array(z.strictObject({ root: z.string().max(256), extension: z.string().max(256) }))
    .min(1)
    .max(64),
  patient: toldPatient.optional(),
});

/** Serves one site's admin port; the token is made at first start in the data folder, mode 0600. */
export async function openAdmin(site: Site, releases: Releases, health: () => Health = () => ({})): Promise<Admin> {
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
    response
      .status(isReady ? 200 : 503)
      .json({ ready: isReady, missing: site.store.missing.length, systems: health() });
  });
  app.use((request, response, next) => (isAuthorized(request, token) ? next() : unauthorized(response)));
  app.use(express.json({ limit: maxBody }));
  app.get("/counts", (_request, response) => void response.json(counts(site)));
  app.get(
    "/journal",
    answer((request) => listJournal(site.store, listQuery.parse(request.query))),
  );
  app.get(
    "/trace/:id",
    answer((request) => trace(site.store, String(request.params.id))),
  );
  app.get("/records", (_request, response) => void response.json(records(site)));
  const acts = {
    discard: (id: string, reason: string) => discard(site, id, reason),
    resend: (id: string, reason: string) => resend(site, releases, id, reason),
  } as const;
  app.post(
    "/journal/:id/release",
    answer((request) => {
      const { reason, replace } = releaseBody.parse(request.body);
      return release(site, releases, String(request.params.id), reason, replace);
    }, 202),
  );
  for (const [verb, act] of Object.entries(acts)) {
    app.post(
      `/journal/:id/${verb}`,
      answer((request) => act(String(request.params.id), reasonBody.parse(request.body).reason), 202),
    );
  }
  app.post("/journal/:id/reveal", async (request, response) => {
    try {
      const { id, body } = await reveal(site, String(request.params.id), reasonBody.parse(request.body).reason);
      response.type("application/octet-stream").set("x-semrs-id", id);
      for await (const chunk of body) if (!response.write(chunk)) await once(response, "drain");
      response.end();
    } catch (thrown) {
      if (response.headersSent) response.destroy();
      else refuse(response, thrown);
    }
  });
  app.post("/verify", async (_request, response) => {
    response.type("application/x-ndjson");
    const found = verifyStore(site.store);
    for (let next = await found.next(); ; next = await found.next()) {
      response.write(`${JSON.stringify(next.value)}\n`);
      if (next.done) return void response.end();
      site.log("store.damaged", { code: next.value.code, reason: next.value.reason }, "error");
    }
  });
  app.post(
    "/fetch",
    answer((request) => fetchNow(site, fetchBody.parse(request.body)), 202),
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

const records = (site: Site) =>
  site.store.records.list({ limit: maxListed }).map((record) => recordLine(site.store, record));

/** `fetch: { request: api }`: another program asks for a patient's records. */
async function fetchNow(site: Site, { patientIds: ids, patient }: z.output<typeof fetchBody>) {
  const channel = site.config.own.channels.find(
    (each) => each.kind === "inbound" && each.fetch.when.some((when) => "request" in when),
  );
  if (channel?.kind !== "inbound")
    throw new Fault("NOT_PERMITTED", "no channel of this site fetches on request; add { request: api }");
  const admission = patient ? { ids, patient: writtenPatient(patient) } : null;
  await site.store.commit([
    ...request(site, channel, { patientIds: ids, admission }, []),
    ...(admission ? identifyHeld(site, admission) : []),
  ]);
  site.wake();
  return { channel: channel.name, state: "queued" };
}

const answer =
  (work: (request: Request) => unknown, status = 200) =>
  async (request: Request, response: Response): Promise<void> => {
    try {
      response.status(status).json(await work(request));
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

const tokenForm = /^[0-9a-f]{64}$/;

/** A token that is not whole would let anybody in who sends none: it is made anew. */
function adminToken(folder: string): string {
  const file = join(folder, "admin.token");
  const known = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  if (tokenForm.test(known)) return known;
  const token = randomBytes(32).toString("hex");
  writeDurably(file, token, 0o600);
  return token;
}

/**
 * The REST surface of a site: TLS with client certificates admits the hop, the envelope's signature authenticates the
 * organisation. Every request and every answer is an envelope; what an envelope says is answered by a `Resource`.
 */
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import express, { type Request, type Response } from "express";
import { type Identity, openingFor, type Partner } from "../envelope/identity.ts";
import { type AnyOpened, openAs, orStale, type Purpose, type Spool, type VerifiedSender } from "../envelope/index.ts";
import { cannotListen, codeOf, Fault, reasonOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { belowReserve } from "../store/reserve.ts";
import type { AuditEvent, Store } from "../store/store.ts";
import { tlsProfile } from "../tls.ts";
import { type Answer, answer, refuse } from "./answers.ts";
import { auditRefusal } from "./audited.ts";
import { type HeldBudget, type Holding, openHolding } from "./held.ts";
import { envelopeHeaders, notAdmitted, tlsPeer } from "./hop.ts";
import { openLater } from "./later.ts";
import { endLegacy, isLegacy, type TakeLegacy } from "./legacy.ts";
import { type Admitted, isOfHere, type PeerLimits, peerLimits } from "./limits.ts";
import type { Locations } from "./locations.ts";
import { type Flow, type Pace, paced, slowest } from "./pace.ts";
import { countConnections, type Limit, type Places, type Shares } from "./places.ts";
import { problemMediaType, refuseInClear, tick } from "./problem.ts";
import { type Published, publish } from "./published.ts";
import type { Spools } from "./spool.ts";
import { leave, passOver, unread } from "./unread.ts";
import { tellFailed, tellUnreadable } from "./unreadable.ts";

const maxHeaderBytes = 65_536;
const headersTimeoutMs = 30_000;
const handshakeMs = 10_000;
/** A house that asks now and then keeps its connection: another handshake costs both sides more than most questions. Node's own is 5 s. */
const idleMs = 30_000;
const sweepMs = 50;
const patienceMs = 5_000;

export type Exchange = {
  readonly identity: Identity;
  readonly store: Store;
  readonly spools: Spools;
  readonly locations: Locations;
  readonly tls: { readonly key: string; readonly certificate: string; readonly ca: string };
  readonly now: () => Date;
  readonly log: Log;
  readonly published?: readonly Published[];
  /** The least a peer sends; `slowest` unless a test is impatient. */
  readonly pace?: Pace;
  /** Octets and connections of all listeners of the site, where it limits them. */
  readonly held?: HeldBudget;
  readonly places?: Places;
  /** Connections of one partner. */
  readonly connectionsOfOne?: number;
  /** One pass of a station: for the site's metrics. */
  passed(station: "repository" | "registry", channel: string, outcome: string, ms: number): void;
};

export type Resource = {
  readonly station: "repository" | "registry";
  readonly path: string;
  readonly purposes: readonly Purpose[];
  /** What the audit log calls it, when it is refused. */
  readonly event: AuditEvent;
  /** It answers with a receipt, once and for all: what was seen before is its own to judge (`answerOnce`). */
  readonly isReceipted?: boolean;
  /** Whether it keeps what a partner sends: not while the disk reserve is reached. */
  readonly takesIn?: boolean;
  /** Takes documents of semrs-2017; no other resource takes anything of it. */
  readonly legacy?: TakeLegacy;
  answer(opened: AnyOpened): Promise<Answer>;
  /** Whether answers may be fetched later, under a Location below its path. */
  readonly holds?: boolean;
};

export type Serving = { readonly address: string; isListening(): boolean; stop(): Promise<void> };

/** Serves the resources under `/semrs/v1` until stopped. `ready` is asked by the public health resource. */
export async function serve(
  listen: { readonly host: string; readonly port: number },
  resources: readonly Resource[],
  exchange: Exchange,
  ready: () => boolean,
): Promise<Serving> {
  const app = express();
  app.disable("x-powered-by");
  let tooMany = (_socket: Socket): Limit | undefined => undefined;
  app.use((request, response, next) => {
    const limit = tooMany(request.socket);
    return limit ? turnAway(exchange, limit, request, response) : void next();
  });
  // A body of what is no POST is read by nobody.
  app.use(async (request, response, next) => {
    if (request.method !== "POST") await passOver(request, response, exchange.pace);
    next();
  });
  publish(app, exchange.published ?? [], ready);
  const limits = peerLimits();
  const flows = new Map<string, Flow>();
  const later = openLater(exchange);
  for (const resource of resources) {
    if (resource.holds)
      app.get(`/semrs/v1${resource.path}/:location`, (request, response, next) =>
        later(resource, request, response).then(
          (isFound) => (isFound ? undefined : next()),
          (thrown: unknown) => refuseInClear(response, thrown),
        ),
      );
    app.post(`/semrs/v1${resource.path}`, (request, response) =>
      exchange.spools.within((spool) => respond(resource, exchange, { limits, flows, spool }, request, response)),
    );
  }
  app.use(async (request, response) => {
    await passOver(request, response, exchange.pace);
    response.status(404).type(problemMediaType).json({ type: "about:blank", status: 404 });
  });
  app.use(tellFailed(exchange));

  const { key, certificate, ca } = exchange.tls;
  const server = createServer(
    {
      key,
      cert: certificate,
      ca,
      requestCert: true,
      rejectUnauthorized: true,
      ...tlsProfile,
      maxHeaderSize: maxHeaderBytes,
      // Node's own is two minutes: a handshake that drips would hold a connection so long.
      handshakeTimeout: handshakeMs,
    },
    app,
  );
  tellUnreadable(server, exchange);
  if (exchange.places) tooMany = countConnections(server, exchange.places, sharesOf(exchange));
  server.headersTimeout = headersTimeoutMs;
  server.requestTimeout = 0;
  server.keepAliveTimeout = idleMs;
  server.listen(listen.port, listen.host);
  await once(server, "listening").catch((cause: unknown) => {
    throw cannotListen(`${listen.host}:${listen.port}`, cause);
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    address: `${address}:${port}`,
    isListening: () => server.listening,
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      // Answers under way are finished; connections that only wait are not waited for.
      const sweep = setInterval(() => server.closeIdleConnections(), sweepMs);
      const patience = setTimeout(() => server.closeAllConnections(), patienceMs);
      await closed;
      clearInterval(sweep);
      clearTimeout(patience);
    },
  };
}

async function respond(
  resource: Resource,
  exchange: Exchange,
  { limits, flows, spool }: { readonly limits: PeerLimits; readonly flows: Map<string, Flow>; readonly spool: Spool },
  request: Request,
  response: Response,
): Promise<void> {
  const { identity, log } = exchange;
  const started = performance.now();
  const peer = tlsPeer(identity, request);
  const flow = (peer && flows.get(peer.org)) ?? { octets: 0 };
  if (peer) flows.set(peer.org, flow);
  const { body } = paced(unread(request), exchange.pace ?? slowest, flow);
  let opened: AnyOpened | undefined;
  let sender: VerifiedSender | undefined;
  let admitted: Admitted | undefined;
  let holding: Holding | undefined;
  try {
    if (!peer) throw notAdmitted(identity, request);
    admitted = limits.admit(peer.org, exchange.now());
    holding = openHolding(exchange.held, request, spool);
    const headers = envelopeHeaders(request);
    const counted = holding.counted(admitted.counted(body));
    if (resource.legacy && isLegacy(headers)) {
      await resource.legacy(headers, counted, { peer, spool: holding.spool });
      holding.left();
      admitted.verified();
      admitted.opened();
      await leave(request, response, body);
      await tick();
      response.status(204).end();
      exchange.passed(resource.station, resource.path, "ok", performance.now() - started);
      return;
    }
    const verified = (signer: VerifiedSender): void => {
      sender = signer;
    };
    const circumstances = { ...opening(resource, exchange, peer), spool: holding.spool, verified };
    opened = await openAs(peer.profiles, headers, counted, circumstances);
    admitted.verified();
    holding.verified();
    await endLegacy(exchange, peer, opened);
    if (resource.takesIn && !exchange.store.reserve.hasSpace()) throw belowReserve();
    const answered = await resource.answer(opened);
    holding.left();
    admitted.opened();
    await leave(request, response, body);
    await answer(exchange, { request, response }, opened, answered);
    exchange.passed(resource.station, resource.path, "ok", performance.now() - started);
  } catch (failure) {
    const thrown = orStale(failure);
    admitted?.left();
    holding?.left();
    const isTold = sender?.org === peer?.org && (opened ? !isUnopened(thrown) : isOfSender(thrown));
    if (isTold || isOfHere(thrown)) admitted?.opened();
    const reason = { peer: peer?.org ?? "unknown", code: codeOf(thrown), reason: reasonOf(thrown) };
    log(`${resource.station}.refused`, { ...reason, ...(sender ? { message: sender.manifest.message } : {}) }, "warn");
    exchange.passed(resource.station, resource.path, codeOf(thrown), performance.now() - started);
    if (peer) await auditRefusal(resource, exchange, reason, sender);
    await leave(request, response, body);
    if (response.headersSent) response.destroy();
    else if (sender && isTold) await refuse(exchange, response, sender, thrown);
    else await refuseInClear(response, thrown);
  }
}

/** On a connection too many: come again, on another one. */
async function turnAway(exchange: Exchange, limit: Limit, request: Request, response: Response): Promise<void> {
  const { log, pace = slowest } = exchange;
  const busy = crowded(limit);
  // Of its own share a partner's are told once.
  if (limit === "limits.connections")
    log("rest.refused", { peer: peerName(exchange, request), code: busy.code, reason: busy.message }, "warn");
  response.setHeader("Connection", "close");
  await passOver(request, response, pace);
  await refuseInClear(response, busy);
}

const crowded = (limit: Limit): Fault => new Fault("PEER_BUSY", `as many connections as ${limit} allows`);

function sharesOf(exchange: Exchange): Shares {
  return {
    most: exchange.connectionsOfOne ?? Number.POSITIVE_INFINITY,
    whose: (socket) => peerName(exchange, { socket }),
    exceeded: (peer) => {
      const { code, message: reason } = crowded("limits.connectionsOfOne");
      exchange.log("rest.crowded", { peer, code, reason }, "warn");
    },
  };
}

const peerName = ({ identity }: Exchange, hop: Parameters<typeof tlsPeer>[1]): string =>
  tlsPeer(identity, hop)?.org ?? "unknown";

/** What only a verified sender can cause, and has to know, before the envelope is open. */
const isOfSender = (thrown: unknown): boolean =>
  ["ENVELOPE_EXPIRED", "ENVELOPE_REPLAYED", "NOT_PERMITTED"].includes(codeOf(thrown));
const isUnopened = (thrown: unknown): boolean => ["ENVELOPE_NOT_OPENED", "ENVELOPE_MALFORMED"].includes(codeOf(thrown));

function opening({ purposes, isReceipted }: Resource, { identity, store, now }: Exchange, peer: Partner) {
  store.steps.checkClock(now());
  return openingFor(identity, {
    now: now(),
    purposes,
    peer: peer.org,
    hasSeen: (org, id) => !isReceipted && store.messages.hasSeen(org, id),
  });
}

/** The admin port: loopback only. `/metrics` and `/health/*` are open, everything else asks for the token. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import express, { type NextFunction, type Request, type Response } from "express";
import { z } from "zod";
import { cannotListen, codeOf, consequence, Fault, reasonOf } from "../errors.ts";
import type { Log } from "../log.ts";
import { writeDurably } from "../store/durable.ts";
import type { Route, Running } from "./admin-route.ts";
import { routes } from "./admin-routes.ts";

const maxBody = "64kb";
/** Whoever is on this machine can open them, without the token: they must not take the descriptors that HIS and PACS need. */
const maxConnections = 64;
const noRoute = "there is no such address or method; GET /openapi.json lists them";
const noBody = "send a body of JSON, with Content-Type: application/json; GET /openapi.json says of what";
const unreadable = `the request cannot be read: an address is percent-encoded, a body JSON of at most ${maxBody}`;

export type Admin = { readonly address: string; stop(): Promise<void> };

/** Serves one site's admin port; the token is made at first start in the data folder, mode 0600. */
export async function openAdmin(running: Running): Promise<Admin> {
  const { site } = running;
  const { host, port } = site.config.own.admin;
  const token = adminToken(site.config.own.data);
  const app = express();
  app.disable("x-powered-by");
  const serve = ({ method, path, ...route }: Route): void =>
    void app[method](path.replaceAll(/\{(\w+)\}/g, ":$1"), (request, response) =>
      answer(running, route, request, response),
    );
  routes.filter(({ isOpen }) => isOpen).forEach(serve);
  app.use((request, response, next) => (isAuthorized(request, token) ? next() : unauthorized(response)));
  app.use(express.json({ limit: maxBody }));
  routes.filter(({ isOpen }) => !isOpen).forEach(serve);
  app.use((_request, response) => void response.status(404).json({ code: "QUERY_INVALID", reason: noRoute }));
  app.use((thrown: unknown, _request: Request, response: Response, _next: NextFunction) => refuse(response, thrown));

  const server = app.listen(port, host);
  server.maxConnections = maxConnections;
  tellCrowded(server, site.log);
  await once(server, "listening").catch((cause: unknown) => {
    throw cannotListen(`admin port ${host}:${port}`, cause);
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

/** Those too many are closed at once, which is told of once until there is room again. */
function tellCrowded(server: Server, log: Log): void {
  let isTold = false;
  server.on("connection", () => (isTold = false));
  server.on("drop", () => {
    const reason = `${maxConnections} connections of the admin port are open; see who holds them`;
    if (!isTold) log("admin.crowded", { code: "PEER_BUSY", reason }, "warn");
    isTold = true;
  });
}

async function answer(
  running: Running,
  route: Omit<Route, "method" | "path">,
  request: Request,
  response: Response,
): Promise<void> {
  try {
    const result = await route.answer({
      running,
      id: String(request.params.id ?? ""),
      query: route.query?.parse(request.query),
      body: route.body?.parse(sent(request)),
      request,
      response,
    });
    if (result !== undefined) response.status(route.status).json(result);
  } catch (thrown) {
    if (response.headersSent) response.destroy();
    else refuse(response, thrown);
  }
}

/** The body as it was read; one that does not say that it is JSON was not. */
function sent({ body }: Request): unknown {
  if (body === undefined) throw new Fault("QUERY_INVALID", noBody);
  return body;
}

function refuse(response: Response, thrown: unknown): void {
  // What express could not read; its own message quotes it.
  const { status = 500 } = thrown as { status?: number };
  if (!(thrown instanceof Fault) && status >= 400 && status < 500) {
    response.status(status).json({ code: status === 413 ? "TOO_LARGE" : "QUERY_INVALID", reason: unreadable });
    return;
  }
  const isBody = thrown instanceof z.ZodError;
  response.status(isBody ? 400 : consequence(thrown).http).json({
    code: isBody ? "QUERY_INVALID" : codeOf(thrown),
    reason: isBody ? inWords(thrown) : reasonOf(thrown),
  });
}

/** On one line, as everything that a verb tells of. */
const inWords = ({ issues }: z.ZodError): string =>
  issues.map(({ path, message }) => `${path.join(".") || "the body"}: ${message}`).join("; ");

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

/** What never comes to a resource: a handshake that fails, octets that are no request, a path that does not decode. */
import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { Server } from "node:https";
import type { Socket } from "node:net";
import type { NextFunction, Request, Response } from "express";
import { codeOf, Fault, reasonOf } from "../errors.ts";
import { onRefusedHandshake } from "../tls.ts";
import { tlsPeer } from "./hop.ts";
import { clearProblem, problemMediaType, refuseInClear } from "./problem.ts";
import type { Exchange } from "./server.ts";
import { passOver } from "./unread.ts";

type Failed = Error & { readonly code?: string };

/** Each is a line of the log; who wrote no request is told so, unless another answer is under way there. */
export function tellUnreadable(server: Server, { identity, log }: Pick<Exchange, "identity" | "log">): void {
  const answering = new WeakMap<Socket, ServerResponse>();
  server.on("request", ({ socket }, response) => answering.set(socket, response));
  onRefusedHandshake(server, (refused) => log("tls.refused", refused, "warn"));
  server.on("clientError", ({ code = "" }: Failed, socket: Socket) => {
    // A connection that broke off, a handshake that failed: nobody hears an answer.
    if (!/^(HPE|ERR_HTTP)_/.test(code) || !socket.writable) return void socket.destroy();
    const fault = new Fault("ENVELOPE_MALFORMED", `what came is no request of HTTP (${code})`);
    const peer = tlsPeer(identity, { socket })?.org ?? "unknown";
    log("rest.refused", { peer, code: fault.code, reason: fault.message }, "warn");
    const before = answering.get(socket);
    if (before?.headersSent && !before.writableFinished) return void socket.destroy();
    const problem = clearProblem(fault, randomUUID());
    const body = JSON.stringify(problem);
    const head = `HTTP/1.1 ${problem.status} Bad Request\r\nContent-Type: ${problemMediaType}\r\nContent-Length: ${body.length}\r\nConnection: close`;
    socket.end(`${head}\r\n\r\n${body}`, () => socket.destroy());
  });
}

/** Express tells a failure in HTML, with its stack: what failed stays here. */
export function tellFailed({ identity, log, pace }: Exchange) {
  return async (failed: unknown, request: Request, response: Response, _next: NextFunction): Promise<void> => {
    const isPath = failed instanceof URIError;
    const thrown = isPath ? new Fault("ENVELOPE_MALFORMED", "the path of the request does not decode") : failed;
    const peer = tlsPeer(identity, request)?.org ?? "unknown";
    log("rest.refused", { peer, code: codeOf(thrown), reason: reasonOf(thrown) }, isPath ? "warn" : "error");
    await passOver(request, response, pace);
    if (response.headersSent) response.destroy();
    else await refuseInClear(response, isPath ? thrown : undefined);
  };
}

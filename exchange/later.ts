/**
 * Answers that are fetched later (paper steps 6 and 7, decision 15): 202 with a Location, then GET with Range, over one sealed
 * head, for whoever shows the TLS certificate that it was asked for with.
 */
import type { Request, Response } from "express";
import { type Content, readRuns, type SealedRuns } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import type { BlobName, Id } from "../store/store.ts";
import { certificateOf, tlsPeer } from "./hop.ts";
import type { Held } from "./locations.ts";
import { sendBody } from "./outgoing.ts";
import { rangeOf } from "./ranges.ts";
import type { Exchange, Resource } from "./server.ts";

/** Code of a record whose report was cancelled: it is handed to nobody any more. */
export const cancelled = "CANCELLED";

/** What is smaller is sent at once, also to who would wait: to send it again costs little. */
const leastBytes = 8 * 1024 * 1024;

const brokenOff = new Fault("PEER_UNREACHABLE", "the connection broke off; whoever asks may go on from there");

/** The record that an answer hands on, and the blobs of its content. */
export type Resting = { readonly record: Id; readonly blobs: readonly BlobName[] };

/** Who asks would rather come back (RFC 7240 4.1), and it is worth that. */
export const isForLater = ({ headers }: Request, content: readonly Content[]): boolean =>
  String(headers.prefer ?? "")
    .split(",")
    .some((preference) => /^\s*respond-async\s*(;|$)/i.test(preference)) &&
  content.reduce((sum, { facts }) => sum + facts.size, 0) >= leastBytes;

/** Answers 202 with a Location, once that is on stable storage; false where there is no room for it. */
export async function holdAnswer(
  { locations }: Exchange,
  { request, response }: { readonly request: Request; readonly response: Response },
  { id, headers, contentLength, runs }: SealedRuns,
  resting: Resting,
): Promise<boolean> {
  const peer = certificateOf(request);
  const location = peer && (await locations.hold(peer, { ...resting, id, headers, contentLength, runs: await runs() }));
  if (!location) return false;
  response.setHeader("Location", `${request.path}/${location}`);
  response.setHeader("Preference-Applied", "respond-async");
  response.status(202).end();
  return true;
}

/** Answers GET and HEAD of a Location; false for whatever is not this peer's, or not any more: as if it never was. */
export function openLater(
  exchange: Exchange,
): (resource: Resource, request: Request, response: Response) => Promise<boolean> {
  const { store, locations, identity, log } = exchange;
  /** The last one who reads a Location is served: the one before has broken off, and we have not heard of it. */
  const readers = new Map<string, Response>();
  return async ({ station, path }, request, response) => {
    const started = performance.now();
    const passed = (outcome: string): void => exchange.passed(station, path, outcome, performance.now() - started);
    const [location, certificate] = [String(request.params.location), certificateOf(request)];
    const org = tlsPeer(identity, request)?.org;
    const held = org && certificate ? await locations.find(certificate, location) : undefined;
    const record = held && store.records.find(held.record);
    // What was cancelled, or is kept no longer, is not handed on to its end.
    if (!held || !org || !record || record.code === cancelled || record.parts.length === 0) return false;
    const span = begin(request, response, held);
    if (!span) return true;
    readers.get(location)?.destroy();
    readers.set(location, response);
    const octets = readRuns(held.runs, span, (index, from) => store.blobs.read(held.blobs[index] ?? "", from));
    const fields = { peer: org, message: held.record };
    try {
      await sendBody(octets, response, exchange.pace);
      log(`${station}.handed`, { ...fields, bytes: span.end - span.from });
      passed("ok");
    } catch (thrown) {
      const { code, message: reason } = thrown instanceof Fault ? thrown : brokenOff;
      log(`${station}.interrupted`, { ...fields, code, reason }, "warn");
      passed(code);
    } finally {
      if (readers.get(location) === response) readers.delete(location);
    }
    return true;
  };
}

/** The head of the answer; the span that is to follow, or undefined where nothing is. */
function begin(
  request: Request,
  response: Response,
  { id, headers, contentLength }: Held,
): { readonly from: number; readonly end: number } | undefined {
  const { method } = request;
  const [etag, ifRange] = [`"${id}"`, request.get("if-range")];
  response.setHeader("ETag", etag).setHeader("Accept-Ranges", "bytes").setHeader("Cache-Control", "no-store");
  // RFC 9110 14.2: a Range is of GET alone.
  const asked = rangeOf({ range: method === "GET" ? request.get("range") : undefined, ifRange }, etag, contentLength);
  if (asked.status === 416) {
    response.setHeader("Content-Range", `bytes */${contentLength}`).status(416).end();
    return undefined;
  }
  const { status, from, end } = asked;
  response.status(status).setHeader("Content-Length", end - from);
  if (status === 206) response.setHeader("Content-Range", `bytes ${from}-${end - 1}/${contentLength}`);
  // 15.3.7: who asks If-Range has the others already.
  if (status === 200 || ifRange === undefined) for (const [name, value] of headers) response.setHeader(name, value);
  if (method === "GET") return { from, end };
  response.end();
  return undefined;
}

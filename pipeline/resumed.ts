/**
 * An answer that is fetched under a Location (exchange/later.ts): one body, over as many connections as it takes. What has come is
 * kept and verified while it comes; when a connection breaks, the next one goes on with the first octet that is missing.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { Rest, RestResponse } from "../connectors/rest.ts";
import { codeOf, consequenceOf, Fault } from "../errors.ts";

/** Pauses between attempts double from the first to the most; when nothing has come for so long, others get the place among the deliveries. */
const [firstMs, mostMs, silentMs] = [250, 30_000, 10 * 60_000];

const locationPath = /^\/semrs\/v1\/repository\/retrievals\/[0-9a-f]{32}$/;
const strongTag = /^"[\x21\x23-\x7e]{1,128}"$/;

export type Resuming = {
  readonly org: string;
  readonly signal: AbortSignal;
  /** The client of today: its pinned certificate may be another one meanwhile. */
  rest(): Rest;
  /** Told before each attempt to go on: with the octets that are here. */
  resumed?(bytes: number): void;
};

/**
 * The answer behind what 202 was answered with. It, or its body, throws PEER_BUSY when the partner does not have it any more, what
 * the last attempt threw when nothing has come for ten minutes, and PEER_REFUSED for a Location or an answer that are none.
 */
export async function resumable(accepted: RestResponse, resuming: Resuming): Promise<RestResponse> {
  const { org } = resuming;
  const path = headerOf(accepted, "location") ?? "";
  if (!locationPath.test(path))
    throw new Fault("PEER_REFUSED", `${org} answered 202 without a Location of a retrieval`);
  const patience = openPatience(resuming.signal);
  const first = await insisted(resuming, patience, path, []);
  if (first.status !== 200) throw await gone(org, first);
  const [tag, length] = [headerOf(first, "etag") ?? "", Number(headerOf(first, "content-length"))];
  if (!strongTag.test(tag) || !Number.isSafeInteger(length))
    throw new Fault("PEER_REFUSED", `${org} hands out an answer without ETag and Content-Length`);
  return { ...first, body: whole(first, { path, tag, length }, resuming, patience) };
}

type Place = { readonly path: string; readonly tag: string; readonly length: number };

async function* whole(
  first: RestResponse,
  { path, tag, length }: Place,
  resuming: Resuming,
  patience: Patience,
): AsyncGenerator<Uint8Array> {
  let [at, response] = [0, first];
  for (;;) {
    try {
      for await (const chunk of response.body) {
        at += chunk.length;
        patience.renew();
        yield chunk;
      }
      if (at < length) throw new Fault("PEER_AMBIGUOUS", `${resuming.org} ended its answer before its end`);
      return;
    } catch (thrown) {
      await patience.wait(thrown);
    }
    resuming.resumed?.(at);
    const range = [["Range", `bytes=${at}-`] as const, ["If-Range", tag] as const];
    response = await insisted(resuming, patience, path, range);
    const isNext = headerOf(response, "content-range") === `bytes ${at}-${length - 1}/${length}`;
    if (response.status !== 206 || !isNext) throw await gone(resuming.org, response);
  }
}

/** The answer to a GET, asked again and again as long as there is patience. */
async function insisted(
  { rest, org, signal }: Resuming,
  patience: Patience,
  path: string,
  headers: readonly (readonly [string, string])[],
): Promise<RestResponse> {
  for (;;) {
    try {
      const response = await rest().get(path, headers, signal);
      if (response.status !== 429 && response.status < 500) return response;
      throw await gone(org, response);
    } catch (thrown) {
      await patience.wait(thrown);
    }
  }
}

async function gone(org: string, { status, body }: RestResponse): Promise<Fault> {
  for await (const _ of body) break;
  return new Fault("PEER_BUSY", `${org} answered ${status} where it had more to send; asking anew`);
}

type Patience = {
  renew(): void;
  /** Throws what was thrown where another attempt is of no use. */
  wait(thrown: unknown): Promise<void>;
};

function openPatience(signal: AbortSignal): Patience {
  let [pause, end] = [firstMs, performance.now() + silentMs];
  return {
    renew: () => {
      [pause, end] = [firstMs, performance.now() + silentMs];
    },
    wait: async (thrown) => {
      if (signal.aborted || !isWorthAnother(thrown) || performance.now() + pause > end) throw thrown;
      await wait(pause, undefined, { signal });
      pause = Math.min(2 * pause, mostMs);
    },
  };
}

const isWorthAnother = (thrown: unknown): boolean => thrown instanceof Fault && consequenceOf(codeOf(thrown)).retry;

function headerOf({ headers }: RestResponse, wanted: string): string | undefined {
  const [only, ...more] = headers.filter(([name]) => name.toLowerCase() === wanted);
  return more.length === 0 ? only?.[1] : undefined;
}

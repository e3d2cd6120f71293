/** Asks a partner: seals a request, posts it, opens the answer, and accepts it only if it answers this request. */
import { openingFor } from "../envelope/identity.ts";
import { type Content, type Opened, open, type Purpose, seal } from "../envelope/index.ts";
import { consequenceOf, type ErrorCode, errorCodes, Fault } from "../errors.ts";
import { maxCommandBytes, readCommand } from "../formats/command.ts";
import type { Site } from "./site.ts";

const envelopeHeader = /^(mime-version|content-type|x-(semrs|eec)-)/i;

export type Request = {
  readonly path: string;
  readonly purpose: Purpose;
  /** The idempotency key: the same for every attempt. */
  readonly message: string;
  readonly messageType: string;
  readonly content: readonly Content[];
  /** What the answer may be. */
  readonly answers: readonly Purpose[];
};

export type Asked = {
  /** Undefined when the partner answered 204. */
  readonly answer: Opened | undefined;
  /** SHA-256 of the manifest that was sent. */
  readonly manifestSha256: string;
  /** Octets sent. */
  readonly bytes: number;
};

/**
 * One request to one partner, sealed now (so it never expires in a queue) under the message id it was given.
 * PEER_UNREACHABLE, PEER_BUSY and PEER_AMBIGUOUS are worth another attempt, which the peer will recognise by its message.
 */
export async function ask(site: Site, org: string, request: Request): Promise<Asked> {
  const { identity, store, now } = site;
  const partner = identity.partners.get(org) ?? (org === identity.org ? identity.self : undefined);
  if (!partner) throw new Fault("RECIPIENT_UNKNOWN", `no partner ${org}; list it under partners`);
  const to = [{ org, certificate: partner.decrypt }];
  const { path, purpose, message, messageType, content } = request;
  const sealed = await seal(
    { purpose, message, sender: identity.org, messageType, to, content },
    identity.signer,
    now(),
  );
  const rest = site.rest(org);
  const response = await rest.post(
    `/semrs/v1${path}`,
    sealed.headers,
    sealed.body(),
    sealed.contentLength,
    site.signal,
  );
  site.metrics.exchanged(sealed.contentLength, response.isEncrypted);
  const sent = { manifestSha256: sealed.manifestSha256, bytes: sealed.contentLength };
  if (response.status === 204) return { answer: undefined, ...sent };

  const headers = response.headers.filter(([name]) => envelopeHeader.test(name));
  if (!headers.some(([name]) => name.toLowerCase() === "x-semrs-profile")) throw await refusedInClear(org, response);
  store.steps.checkClock(now());
  const answer = await open(
    headers,
    response.body,
    openingFor(identity, {
      now: now(),
      purposes: [...request.answers, "refusal"],
      peer: org,
      hasSeen: (sender, id) => store.messages.hasSeen(sender, id),
      reply: { inReplyTo: sealed.id, requestDigest: sealed.manifestSha256, from: org },
    }),
  );
  if (answer.manifest.purpose === "refusal") throw await refused(org, answer);
  return { answer, ...sent };
}

/** A refusal that was signed: its code says whether another attempt can help. */
async function refused(org: string, answer: Opened): Promise<Fault> {
  const { code, title } = readCommand("refusal", await partOne(answer));
  const known = (errorCodes as readonly string[]).includes(code) ? (code as ErrorCode) : "PEER_REFUSED";
  return new Fault(consequenceOf(known).retry ? "PEER_BUSY" : "PEER_REFUSED", `${org} refused with ${known}: ${title}`);
}

async function refusedInClear(
  org: string,
  response: { status: number; body: AsyncIterable<Uint8Array> },
): Promise<Fault> {
  for await (const _ of response.body) break;
  const { status } = response;
  if (status === 429 || status >= 500) return new Fault("PEER_BUSY", `${org} answered ${status}; trying again`);
  return new Fault("PEER_REFUSED", `${org} answered ${status} in clear; its log has the cause`);
}

/** The one command or receipt that an answer holds. */
export async function partOne(answer: Opened): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  for await (const part of answer.parts()) {
    if (part.entry.role !== "command")
      throw new Fault("ENVELOPE_MALFORMED", "the answer holds documents where a command is due");
    bytes = await part.bytes(maxCommandBytes);
  }
  if (!bytes) throw new Fault("ENVELOPE_MALFORMED", "the answer holds no command");
  return bytes;
}

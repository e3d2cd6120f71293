/** Asks a partner: seals a request, posts it, opens the answer, and accepts it only if it answers this request. */
import { hash } from "node:crypto";
import { legacyOf, openingFor, type Partner, receiverOf } from "../envelope/identity.ts";
import {
  type AnyOpened,
  type Content,
  isEnvelopeHeader,
  openAs,
  type Purpose,
  type Spool,
  sealAs,
  type WholeProfile,
} from "../envelope/index.ts";
import type { SignedManifest } from "../envelope/signed-manifest.ts";
import { consequenceOf, type ErrorCode, errorCodes, Fault } from "../errors.ts";
import { maxCommandBytes, readCommand } from "../formats/command.ts";
import type { Change } from "../store/store.ts";
import { type Resuming, resumable } from "./resumed.ts";
import type { Site } from "./site.ts";

/** Room for a command in base64, its signature and certificates. */
const maxAnswerBytes = 2 * maxCommandBytes;

export type Request = {
  readonly path: string;
  readonly purpose: Purpose;
  /** The idempotency key: the same for every attempt. */
  readonly message: string;
  readonly messageType: string;
  readonly content: readonly Content[];
  /** What the answer may be. */
  readonly answers: readonly Purpose[];
  /** Whether it may be large: then it is fetched later, and goes on where a connection broke. */
  readonly isLarge?: boolean;
  /** Told before it is sent: what comes of it may stay unknown. */
  readonly sealed?: (request: SignedManifest & { readonly manifestSha256: string }) => void;
};

/** RFC 7240 4.1 */
const preferLater = ["Prefer", "respond-async"] as const;

export type Asked = {
  /** Undefined when the partner answered 204. */
  readonly answer: AnyOpened | undefined;
  /** SHA-256 of the manifest that was sent. */
  readonly manifestSha256: string;
  /** Octets sent. */
  readonly bytes: number;
  /** Committed with what the answer changes: where the partner's audit log stands. */
  readonly kept: readonly Change[];
  /** What was sent, as evidence of it. */
  readonly request: SignedManifest;
};

/**
 * One request to one partner, sealed now (so it never expires in a queue) under the message id it was given.
 * PEER_UNREACHABLE, PEER_BUSY and PEER_AMBIGUOUS are worth another attempt, which the peer will recognise by its message.
 */
export async function ask(site: Site, org: string, request: Request): Promise<Asked> {
  const { identity, store, now } = site;
  const partner = identity.partners.get(org) ?? (org === identity.org ? identity.self : undefined);
  if (!partner) throw new Fault("RECIPIENT_UNKNOWN", `no partner ${org}; list it under partners`);
  if (legacyOf(identity, org, store.legacy.hasEnded))
    throw new Fault(
      "PEER_REFUSED",
      `${org} speaks semrs-2017, which carries documents and nothing else; tell it by other means`,
    );
  const to = receiverOf(partner);
  const { path, purpose, message, messageType, content } = request;
  const profile = profileFor(partner, purpose);
  const sealed = await sealAs(
    profile,
    { purpose, message, sender: identity.org, messageType, to: [to], content, log: store.audit.head() },
    identity.signer,
    now(),
  );
  request.sealed?.({
    manifest: sealed.manifest,
    signature: sealed.signature,
    manifestSha256: sealed.manifestSha256,
  });
  const before = store.witnesses.standing(org, 1)[0]?.seq ?? 0;
  const posted = await site
    .rest(org)
    .post(
      `/semrs/v1${path}`,
      request.isLarge ? [...sealed.headers, preferLater] : sealed.headers,
      sealed.body(),
      sealed.contentLength,
      site.signal,
    );
  site.metrics.exchanged(sealed.contentLength, posted.isEncrypted);
  const response = posted.status === 202 && request.isLarge ? await resumable(posted, resumingOf(site, org)) : posted;
  const { manifest, signature, manifestSha256, contentLength: bytes } = sealed;
  const sent = { manifestSha256, bytes, request: { manifest, signature } };
  if (response.status === 204) return { answer: undefined, ...sent, kept: [] };

  const headers = response.headers.filter(([name]) => isEnvelopeHeader(name));
  if (!headers.some(isOfEnvelope)) throw await refusedInClear(org, response, to.certificate);
  store.steps.checkClock(now());
  const opening = {
    ...openingFor(identity, {
      now: now(),
      purposes: [...request.answers, "refusal"],
      peer: org,
      hasSeen: (sender, id) => store.messages.hasSeen(sender, id),
      reply: { inReplyTo: sealed.id, requestDigest: sealed.manifestSha256, from: org },
    }),
    spool: inMemory,
    maxBytes: maxAnswerBytes,
  };
  const answer = await openAs([profile], headers, response.body, opening);
  if (answer.manifest.purpose === "refusal") throw await refused(org, answer);
  // Signed after what we had before we asked: a log that has become shorter is another one.
  if ((answer.manifest.log?.seq ?? before) < before) site.doubt(org);
  return { answer, ...sent, kept: store.witnesses.saw(org, answer.manifest.log) };
}

const resumingOf = (site: Site, org: string): Resuming => ({
  org,
  signal: site.signal,
  rest: () => site.rest(org),
  resumed: (bytes) => site.log("fetch.resumed", { peer: org, bytes }, "warn"),
});

/** The first profile that this partner was configured for; what is re-addressed is semrs-2 in any case. */
function profileFor({ org, profiles }: Partner, purpose: Purpose): WholeProfile {
  const known = (["semrs-2", "smime-4"] as const).filter((each) => profiles.includes(each));
  const [first] = known.toSorted((one, other) => profiles.indexOf(one) - profiles.indexOf(other));
  const profile = purpose === "retrieve" ? known.find((each) => each === "semrs-2") : first;
  if (!profile)
    throw new Fault(
      "PEER_REFUSED",
      `${org} is not configured for semrs-2, and records are asked for in no other profile`,
    );
  return profile;
}

const isOfEnvelope = ([name, value]: readonly [string, string]): boolean =>
  /^x-semrs-profile$/i.test(name) || (/^content-type$/i.test(name) && /^application\/pkcs7-mime\b/i.test(value));

/** An answer of smime-4 is a command; its ciphertext waits in memory. */
const inMemory: Spool = {
  write: async (cipher) => {
    const pieces = await Array.fromAsync(cipher);
    return {
      read: async function* () {
        yield* pieces;
      },
    };
  },
};

/** A refusal that was signed: its code says whether another attempt can help, and is that of the cause. */
async function refused(org: string, answer: AnyOpened): Promise<Fault> {
  const { code, title } = readCommand("refusal", await partOne(answer));
  const known = (errorCodes as readonly string[]).includes(code) ? (code as ErrorCode) : "PEER_REFUSED";
  return new Fault(
    consequenceOf(known).retry ? "PEER_BUSY" : "PEER_REFUSED",
    `${org} refused with ${known}: ${title}`,
    {
      cause: new Fault(known, title),
    },
  );
}

const seeLog = "its log has the cause";
/** What statuses in clear mean, where another attempt does not help. */
const clearRefusals: Readonly<Record<number, string>> = {
  400: "finds the envelope malformed",
  404: "has no such resource; its version or its url may be another",
  413: "finds the envelope too large",
  415: "does not take this envelope profile from us",
};

/** An answer that is no envelope: its status says whether another attempt can help. `certificate`: DER, that it was sealed for. */
export async function refusedInClear(
  org: string,
  response: { status: number; body: AsyncIterable<Uint8Array> },
  certificate: Uint8Array,
): Promise<Fault> {
  for await (const _ of response.body) break;
  const { status } = response;
  if (status === 429 || status >= 500) return new Fault("PEER_BUSY", `${org} answered ${status}; trying again`);
  if (status !== 422)
    return new Fault("PEER_REFUSED", `${org} ${clearRefusals[status] ?? `answered ${status} in clear`}; ${seeLog}`);
  const what = `${org} cannot open what is sealed for its decrypt.crt ${fingerprintOf(certificate)}`;
  return new Fault("PEER_UNOPENABLE", `${what}: compare that and our sign.crt with it, profiles and clocks; ${seeLog}`);
}

/** What a person compares of a certificate (DER): the beginning of its SHA-256. */
export const fingerprintOf = (certificate: Uint8Array): string => hash("sha256", certificate).slice(0, 16);

/** The one command or receipt that an answer holds. */
export async function partOne(answer: AnyOpened): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  for await (const part of answer.parts()) {
    if (part.entry.role !== "command")
      throw new Fault("ENVELOPE_MALFORMED", "the answer holds documents where a command is due");
    bytes = await part.bytes(maxCommandBytes);
  }
  if (!bytes) throw new Fault("ENVELOPE_MALFORMED", "the answer holds no command");
  return bytes;
}

/** What a resource answers: sealed for the one who asked, bound to the request, streamed or to be fetched later. */
import { finished } from "node:stream/promises";
import type { Request, Response } from "express";
import { receiverOf } from "../envelope/identity.ts";
import {
  type Content,
  contentOf,
  type Draft,
  type Purpose,
  seal,
  sealAs,
  type VerifiedSender,
} from "../envelope/index.ts";
import { codeOf, consequence, reasonOf } from "../errors.ts";
import { commandMediaType, writeCommand } from "../formats/command.ts";
import { holdAnswer, isForLater, type Resting } from "./later.ts";
import { sendBody } from "./outgoing.ts";
import type { Exchange } from "./server.ts";

/** A body of so many octets at most is sent at once. */
const maxGatheredBytes = 64 * 1024;

export type Answer =
  | { readonly status: 204 }
  | {
      readonly status: 200 | 201;
      readonly purpose: Purpose;
      readonly messageType: string;
      readonly content: readonly Content[];
      /** It was given before, to the same message. */
      readonly isRepeated?: boolean;
      readonly origin?: {
        readonly manifest: Uint8Array;
        readonly signature: Uint8Array;
        readonly marks: readonly Uint8Array[];
      };
      /** Where the content rests, if it may be fetched later. */
      readonly resting?: Resting;
    };

type Sending = Exclude<Answer, { status: 204 }>;
export type Hop = { readonly request: Request; readonly response: Response };

/** Resolves when all of the answer is out, or is to be had under a Location. */
export async function answer(exchange: Exchange, hop: Hop, opened: VerifiedSender, answered: Answer): Promise<void> {
  const { response } = hop;
  if (answered.status === 204) return void response.status(204).end();
  const { resting } = answered;
  if (resting && opened.manifest.profile === "semrs-2" && isForLater(hop.request, answered.content)) {
    const sealed = await seal(draftOf(exchange, opened, answered), exchange.identity.signer, exchange.now());
    if (await holdAnswer(exchange, hop, sealed, resting)) return;
  }
  if (answered.isRepeated) response.setHeader("Idempotent-Replayed", "true");
  await send(exchange, response, answered.status, opened, answered);
}

/** A refusal that is signed and sealed: it is evidence. */
export async function refuse(
  exchange: Exchange,
  response: Response,
  to: VerifiedSender,
  thrown: unknown,
): Promise<void> {
  const status = consequence(thrown).http;
  const code = codeOf(thrown);
  const refusal = {
    command: "refusal",
    type: `urn:semrs:problem:${code}`,
    title: reasonOf(thrown),
    status,
    code,
  } as const;
  const content = [await contentOf(writeCommand<"refusal">(refusal), "command", commandMediaType)];
  await send(exchange, response, status, to, {
    status: 200,
    purpose: "refusal",
    messageType: "refusal",
    content,
  }).catch(() => response.destroy());
}

async function send(
  exchange: Exchange,
  response: Response,
  status: number,
  opened: VerifiedSender,
  answered: Sending,
): Promise<void> {
  const draft = draftOf(exchange, opened, answered);
  const sealed = await sealAs(opened.manifest.profile, draft, exchange.identity.signer, exchange.now());
  response.status(status);
  for (const [name, value] of sealed.headers) response.setHeader(name, value);
  response.setHeader("Content-Length", sealed.contentLength);
  if (sealed.contentLength > maxGatheredBytes) return await sendBody(sealed.body(), response, exchange.pace);
  // One write and one TLS record, in place of a stream between.
  response.end(Buffer.concat(await Array.fromAsync(sealed.body())));
  await finished(response);
}

function draftOf({ identity, store }: Exchange, opened: VerifiedSender, answered: Sending): Draft {
  const { purpose, messageType, content, origin } = answered;
  return {
    purpose,
    message: store.newId(),
    sender: identity.org,
    messageType,
    to: [receiverOf(identity.partners.get(opened.org) ?? identity.self)],
    content,
    inReplyTo: opened.manifest.id,
    requestDigest: opened.manifestSha256,
    ...(origin ? { origin } : {}),
    log: store.audit.head(),
  };
}

/** Hospital A as a program of its own: what it seals, and what a repository or registry of three real sites answers. */
import { readFileSync } from "node:fs";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { pemToDer } from "../../envelope/certificate.ts";
import { type Draft, type Opened, type Opening, open, type Sealed, seal } from "../../envelope/index.ts";
import { type Signer, signerFrom, unwrapperFrom } from "../../envelope/keys.ts";
import { contentFrom, octets, wire } from "../envelope/people.ts";
import { cda, chen } from "../fixtures/documents.ts";
import type { TestExchange } from "../sites.ts";

export type Answer = {
  readonly status: number;
  /** Undefined where the answer is no envelope. */
  readonly profile: string | undefined;
  readonly problem: string;
  readonly isRepeated: boolean;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
};

export type Sending = {
  readonly as?: string;
  readonly path?: string;
  readonly port?: string | undefined;
  readonly method?: string;
};
/** A request of which whoever began it writes as much as it likes; `answered`: the head of its answer. */
export type Begun = { readonly outgoing: ClientRequest; readonly answered: Promise<IncomingMessage> };

export type Peer = {
  certificateOf(org: string): Uint8Array;
  /** A record for hospital B: a document and an image of 1.2 MB, under the next message id. */
  draft(): Promise<Draft>;
  signer(org?: string): Signer;
  /** The same, sealed; `keys` is the folder of who signs. */
  push(change?: Partial<Draft>, keys?: string, at?: Date): Promise<Sealed>;
  /** Posts over a TLS connection of `as`; to hospital B's repository unless told otherwise. */
  post(headers: readonly (readonly [string, string])[], body: Uint8Array, to?: Sending): Promise<Answer>;
  /** The same, of a body of so many octets that is still to be written. */
  begin(headers: readonly (readonly [string, string])[], length: number, to?: Sending): Begun;
  /** The receipt in hospital B's answer to this envelope of hospital A. */
  receiptIn(answer: Answer, sent: Pick<Sealed, "id" | "manifestSha256">): Promise<Buffer>;
};

export const read = (folder: string, name: string): string => readFileSync(join(folder, name), "utf8");

/** Hospital A among the houses of this PKI; `port` is hospital B's. */
export function peerOf(pki: string, port: string | undefined): Peer {
  let message = 0;
  const keysOf = (org: string): string => join(pki, org);
  const signerIn = (keys: string): Signer => signerFrom(read(keys, "sign.key"), read(keys, "sign.crt"));
  const certificateOf = (org: string): Uint8Array => pemToDer(read(keysOf(org), "decrypt.crt"))[0] ?? new Uint8Array();
  const draft = async (): Promise<Draft> => {
    message += 1;
    const extension = `PUSH.${message}`;
    const report = cda({
      form: "116",
      extension,
      patient: chen,
      code: "18782-3",
      display: "x",
      title: "報告",
      body: "x",
    });
    return {
      purpose: "push",
      message: message.toString(16).padStart(32, "0"),
      sender: "hospital-a",
      messageType: "116",
      to: [{ org: "hospital-b", certificate: certificateOf("hospital-b") }],
      content: [
        await contentFrom(report, "cda"),
        await contentFrom(octets(1_200_000, message), "dicom", `1.2.3.${message}`),
      ],
    };
  };
  const begin: Peer["begin"] = (
    headers,
    length,
    { as = keysOf("hospital-a"), path = "/repository/documents", port: other = port, method = "POST" } = {},
  ) => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const options = {
      host: "127.0.0.1",
      port: other,
      path: `/semrs/v1${path}`,
      method,
      key: read(as, "tls.key"),
      cert: read(as, "tls.crt"),
      ca: read(pki, "ca.crt"),
      headers: { ...Object.fromEntries(headers), "Content-Length": length },
    };
    const outgoing = request(options, resolve).on("error", reject);
    // Who breaks off waits for no answer.
    promise.catch(() => undefined);
    return { outgoing, answered: promise };
  };
  return {
    certificateOf,
    draft,
    begin,
    signer: (org = "hospital-a") => signerIn(keysOf(org)),
    push: async (change = {}, keys = keysOf("hospital-a"), at = new Date()) =>
      await seal({ ...(await draft()), ...change }, signerIn(keys), at),
    post: async (headers, body, to) => {
      const { outgoing, answered } = begin(headers, body.length, to);
      outgoing.end(body);
      const response = await answered;
      const octets = Buffer.concat(await response.toArray());
      const profile = response.headers["x-semrs-profile"] as string | undefined;
      return {
        status: response.statusCode ?? 0,
        profile,
        problem: profile ? "" : octets.toString("latin1"),
        isRepeated: response.headers["idempotent-replayed"] === "true",
        headers: pairsOf(response.rawHeaders),
        body: octets,
      };
    },
    receiptIn: async ({ headers, body }, { id, manifestSha256 }) => {
      const reply = { inReplyTo: id, requestDigest: manifestSha256, from: "hospital-b" };
      const opened = await openAtA(pki, headers, wire(body), { purposes: ["receipt"], reply });
      const first = await opened.parts().next();
      if (first.done === true) throw new Error("an answer has a part 1");
      return Buffer.from(await first.value.bytes(100_000));
    },
  };
}

/** Opens what one house sends to another; the headers may have others among them. */
export async function openBetween(
  pki: string,
  { from, to }: { readonly from: string; readonly to: string },
  headers: readonly (readonly [string, string])[],
  body: AsyncIterable<Uint8Array>,
  how: Pick<Opening, "purposes"> & Partial<Opening>,
): Promise<Opened> {
  const keys = join(pki, to);
  const envelope = headers.filter(([name]) => /^(mime|content-type|x-)/i.test(name));
  return await open(envelope, body, {
    self: to,
    unwrappers: [unwrapperFrom(read(keys, "decrypt.key"), read(keys, "decrypt.crt"))],
    trust: {
      anchors: pemToDer(read(pki, "ca.crt")),
      crls: pemToDer(read(pki, "ca.crl"), "X509 CRL"),
      revocation: "require",
    },
    now: new Date(),
    partner: () => ({ org: from, profiles: ["semrs-2"] }),
    hasSeen: () => false,
    ...how,
  });
}

/** What hospital B sends to hospital A. */
export const openAtA = (
  pki: string,
  headers: readonly (readonly [string, string])[],
  body: AsyncIterable<Uint8Array>,
  how: Pick<Opening, "purposes"> & Partial<Opening>,
): Promise<Opened> => openBetween(pki, { from: "hospital-b", to: "hospital-a" }, headers, body, how);

/** Names and values of raw headers. */
export const pairsOf = (raw: readonly string[]): readonly (readonly [string, string])[] =>
  raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? ""] as const] : []));

/** How many records house B has, in whatever state. */
export async function recordsAtB({ admin }: TestExchange): Promise<number> {
  const { records } = await admin("hospital-b").get<{ records: Record<string, number> }>("/counts");
  return Object.values(records).reduce((sum, count) => sum + count, 0);
}

/**
 * Seals an envelope from the same pieces as `seal`, with a hook at each step, so that one thing at a time can be wrong while
 * everything else (signature, tags, lengths) is right.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { each } from "../../envelope/cms/ber.ts";
import { framed, keyHead, partHead } from "../../envelope/frame.ts";
import { headerKey, type RawHeaders, sealHeader } from "../../envelope/headers.ts";
import type { Content, Draft } from "../../envelope/index.ts";
import type { Signer } from "../../envelope/keys.ts";
import { headerNames, type Manifest } from "../../envelope/manifest.ts";
import { manifestOf } from "../../envelope/manifest-of.ts";
import { wrapFor } from "../../envelope/recipient.ts";
import { manifestContentType, signDetached } from "../../envelope/signed-data.ts";
import { a, dayMs, later, now } from "./parties.ts";
import { collect, draftOf, record, sealed } from "./samples.ts";

export type Frame = { readonly head: Uint8Array; readonly cipher: Uint8Array; readonly tag: Uint8Array };

export type Forgery = {
  readonly draft?: Partial<Draft>;
  readonly sizes?: readonly number[];
  readonly signer?: Signer;
  readonly created?: Date;
  /** Of the envelope, where it is not drawn. */
  readonly id?: string;
  readonly expires?: Date;
  readonly signedAt?: Date;
  readonly contentType?: string;
  readonly oneTimeKey?: Uint8Array;
  /** A value that JSON can spell. */
  manifest?(manifest: Manifest): unknown;
  /** The octets that are signed. */
  text?(json: string): string | Uint8Array;
  /** The octets that are sent as part 2 although others were signed. */
  sent?(signed: Uint8Array): Uint8Array;
  signature?(signature: Uint8Array, manifest: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** RecipientInfos of part 4, from the key of part 4. */
  recipients?(infos: readonly Uint8Array[], cek: Uint8Array): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  content?(content: readonly Content[]): readonly Content[];
  /** Each part's CMS, 1 to 4 and then 5 …, before it is framed by MIME. */
  frame?(n: number, octets: Buffer): Uint8Array;
  frames?(frames: readonly Uint8Array[]): readonly Uint8Array[];
  value?(name: string, sealed: string, key: Uint8Array): string;
  headers?(headers: RawHeaders): RawHeaders;
  body?(body: Buffer, boundary: string): Uint8Array;
};

export type Forged = { readonly headers: RawHeaders; readonly body: Uint8Array };

const sameBoundary = "forged-0123456789";
const partHeaders =
  "Content-Type: application/pkcs7-mime; smime-type=authEnveloped-data\r\nContent-Transfer-Encoding: binary";

/** The body of parts that are CMS already. */
export const multipart = (frames: readonly Uint8Array[], boundary: string = sameBoundary): Buffer =>
  Buffer.concat([
    ...frames.flatMap((frame) => [Buffer.from(`--${boundary}\r\n${partHeaders}\r\n\r\n`), frame, Buffer.from("\r\n")]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);

export async function forge(forgery: Forgery): Promise<Forged> {
  const { signer = a.signer, oneTimeKey = randomBytes(32), created = now, expires = later(dayMs, created) } = forgery;
  const honest = await record(...(forgery.sizes ?? [500]));
  const draft = draftOf(honest, forgery.draft);
  const drawn = created.getTime().toString(16).padStart(12, "0") + randomBytes(10).toString("hex");
  const id = forgery.id ?? drawn;
  const manifest = manifestOf(draft, signer, id, { created, expires });
  const claimed = forgery.manifest?.(manifest) ?? manifest;
  const json = JSON.stringify(claimed);
  const signed = Buffer.from(forgery.text?.(json) ?? json);
  const detached = await signDetached(
    signed,
    forgery.contentType ?? manifestContentType,
    signer,
    forgery.signedAt ?? created,
  );
  const signature = (await forgery.signature?.(detached, signed)) ?? detached;

  const small = async (bytes: Uint8Array): Promise<Buffer> => {
    const { facts, cipher } = await sealed(bytes, "whole");
    return await collect(framed(partHead(facts, oneTimeKey, id), each([cipher]), facts.size, facts.tag));
  };
  const content = forgery.content?.(draft.content) ?? draft.content;
  const [first, ...images] = await Promise.all(
    content.map(({ facts, cipher }) =>
      collect(framed(partHead(facts, oneTimeKey, id), cipher(), facts.size, facts.tag)),
    ),
  );
  const key = await sealed(oneTimeKey, "whole");
  const infos = await Promise.all(draft.to.map(({ certificate }) => wrapFor(certificate, key.facts.cek)));
  const recipients = (await forgery.recipients?.(infos, key.facts.cek)) ?? infos;
  const fourth = await collect(
    framed(keyHead(recipients, key.facts.nonce), each([key.cipher]), oneTimeKey.length, key.facts.tag),
  );
  const parts = [
    first ?? Buffer.alloc(0),
    await small(forgery.sent?.(signed) ?? signed),
    await small(signature),
    fourth,
    ...images,
  ];
  const frames = parts.map((octets, index) => forgery.frame?.(index + 1, octets) ?? octets);

  const hkdf = new Uint8Array(headerKey(oneTimeKey, id).export());
  const values = headerNames.map((name): [string, string] => {
    const value = sealHeader(hkdf, name, manifest.headers[name]);
    return [name, forgery.value?.(name, value, hkdf) ?? value];
  });
  const headers: RawHeaders = [
    ["MIME-Version", "1.0"],
    ["X-SEMRS-Profile", "semrs-2"],
    ["X-SEMRS-Id", id],
    ...values,
    ["Content-Type", `multipart/mixed; boundary="${sameBoundary}"`],
  ];
  const body = multipart(forgery.frames?.(frames) ?? frames);
  return { headers: forgery.headers?.(headers) ?? headers, body: forgery.body?.(body, sameBoundary) ?? body };
}

/** AES-256-KW of any octets under any key: for wraps that no honest writer makes. */
export function keyWrap(kek: Uint8Array, octets: Uint8Array): Buffer {
  const cipher = createCipheriv("id-aes256-wrap", kek, Buffer.alloc(8, 0xa6));
  return Buffer.concat([cipher.update(octets), cipher.final()]);
}

/** Octets with others put in their place. */
export const replaced = (
  bytes: Uint8Array,
  at: number,
  by: Uint8Array | readonly number[],
  length: number = by.length,
): Buffer => Buffer.concat([bytes.subarray(0, at), Uint8Array.from(by), bytes.subarray(at + length)]);

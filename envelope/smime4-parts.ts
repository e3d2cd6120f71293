/**
 * The parts inside the signature of smime-4: the document or command, then DICOM instances and attachments. They are read after
 * the signature holds: once for sizes and digests, so that the record is known as from a manifest, and then for the caller.
 */
import { Fault } from "../errors.ts";
import { each } from "./cms/ber.ts";
import type { HeaderName, PartEntry } from "./manifest.ts";
import { maxParts, partNumber } from "./manifest.ts";
import { endOfHeaders, reader, readMultipart } from "./mime.ts";
import type { OpenedPart } from "./opened-part.ts";
import { type PartFacts, sealPart, segmentBytes } from "./part.ts";
import { openCipher } from "./part-open.ts";
import type { Content } from "./seal.ts";
import { fromBase64 } from "./smime4-base64.ts";
import { maxHeadBytes, readHead, type SignedHead } from "./smime4-headers.ts";

type PartHead = {
  readonly role: Content["role"];
  readonly type: string;
  readonly sop?: string;
  readonly isBase64: boolean;
};
type Body = { readonly head: PartHead; readonly body: AsyncIterable<Uint8Array> };

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `parts: ${what}`);

/** Passed over: they tell a mail program how to show what is here. */
const ignored: ReadonlySet<string> = new Set([
  "mime-version",
  "content-disposition",
  "content-description",
  "content-id",
]);
/** What a leaf may not be: another envelope, or a tree (refused, not searched for something that fits). */
const nested = /^(multipart\/|message\/|application\/(x-)?pkcs7-|application\/vnd\.semrs\.envelope)/;
const sopForm = /^[0-9][0-9.]{0,63}$/;
const typeForm = /^[\x21-\x2b\x2d-\x7e][\x20-\x2b\x2d-\x7e]{0,255}$/;

/** What stands before part `index`, counted from 0. ENVELOPE_MALFORMED for what a reader would take for something else. */
export function partOpening(
  boundary: string,
  { role, type, sop }: Omit<Content, "facts" | "cipher">,
  index: number,
): Uint8Array {
  const lines = [
    `Content-Type: ${type}`,
    "Content-Transfer-Encoding: binary",
    ...(sop === undefined ? [] : [`X-SEMRS-Sop: ${sop}`]),
  ].join("\r\n");
  if (roleAt(lines, index) !== role)
    throw new Fault("ENVELOPE_MALFORMED", `part ${index + 1}: ${role} does not go with its place or its media type`);
  return Buffer.from(`${index === 0 ? "" : "\r\n"}--${boundary}\r\n${lines}\r\n\r\n`);
}

function roleAt(lines: string, index: number): string | undefined {
  try {
    return headOf(Buffer.from(lines), index).role;
  } catch {
    return undefined;
  }
}

/** Content-Type, Content-Transfer-Encoding and, of a DICOM instance, X-SEMRS-Sop. */
function headOf(block: Buffer, index: number): PartHead {
  const values = new Map<string, string>();
  for (const line of block.toString("latin1").split("\r\n")) {
    const [, name = "", value] = /^([!-9;-~]+): ?([\x20-\x7e]*)$/.exec(line) ?? [];
    const key = name.toLowerCase();
    if (value === undefined || values.has(key)) throw refuse("a header twice, folded, or not in US-ASCII");
    values.set(key, value);
  }
  const take = (name: string): string | undefined => {
    const value = values.get(name);
    values.delete(name);
    return value;
  };
  const type = take("content-type") ?? "";
  const encoding = take("content-transfer-encoding")?.toLowerCase() ?? "binary";
  const sop = take("x-semrs-sop");
  if ([...values.keys()].some((name) => !ignored.has(name))) throw refuse("a header that does not belong");
  if (!/^(7bit|8bit|binary|base64)$/.test(encoding)) throw refuse("an encoding other than base64 and none");
  const role = roleOf(type, index);
  if ((role === "dicom") !== (sop !== undefined) || (sop !== undefined && !sopForm.test(sop)))
    throw refuse("X-SEMRS-Sop where it is not due, or none on an instance");
  return { role, type, isBase64: encoding === "base64", ...(sop === undefined ? {} : { sop }) };
}

/** Part 1 is a document when it is XML, and a command otherwise; the others are instances or attachments. */
function roleOf(type: string, index: number): Content["role"] {
  const media = type.split(";")[0]?.trim().toLowerCase() ?? "";
  if (!typeForm.test(type) || !/^[a-z]+\/[!-~]+$/.test(media)) throw refuse("no media type");
  if (nested.test(media)) throw refuse(`a part of type ${media}`);
  if (index > 0) return media === "application/dicom" ? "dicom" : "attachment";
  return /^(text|application)\/([!-~]+\+)?xml$/.test(media) ? "cda" : "command";
}

/** The signed entity, taken apart: its headers as octets, and the bodies of its parts. */
export async function readEntity(content: AsyncIterable<Uint8Array>): Promise<{
  readonly octets: Uint8Array;
  readonly head: SignedHead;
  bodies(): AsyncGenerator<Body>;
}> {
  const lines = reader(content);
  const block = await lines.before(endOfHeaders, maxHeadBytes);
  const { head, boundary } = readHead(block);
  return {
    octets: Buffer.concat([block, endOfHeaders]),
    head,
    bodies: async function* () {
      for await (const { head, body } of readMultipart(lines, boundary, maxParts, headOf))
        yield { head, body: head.isBase64 ? fromBase64(body) : body };
    },
  };
}

const formOf = (index: number): "whole" | "segments" => (index === 0 ? "whole" : "segments");

/** Sizes and digests of all parts, of which there are as many as the signed count says. */
export async function describeParts(
  bodies: AsyncIterable<Body>,
  headers: Readonly<Record<HeaderName, string>>,
): Promise<PartEntry[]> {
  const entries: PartEntry[] = [];
  for await (const { head, body } of bodies) {
    const part = sealPart(body, formOf(entries.length));
    for await (const _ of part.cipher);
    entries.push(entryOf(head, part.facts(), entries.length));
  }
  if (entries.length === 0 || String(entries.length) !== headers["X-EEC-BodypartCnt"])
    throw refuse(`${entries.length}, and X-EEC-BodypartCnt says otherwise`);
  return entries;
}

function entryOf({ role, type, sop }: PartHead, { size, sha256, segs, root }: PartFacts, index: number): PartEntry {
  const n = partNumber(index);
  if ((role === "cda" || role === "command") && sha256 !== null) return { n, role, type, size, sha256 };
  const segments = {
    type,
    size,
    seg: segmentBytes,
    segs: Buffer.from(segs ?? []).toString("base64"),
    root: root ?? "",
  } as const;
  return role === "dicom" ? { n, role, ...segments, sop: sop ?? "" } : { n, role: "attachment", ...segments };
}

/** The parts for the caller, each under a fresh key of its own, as a store keeps them. */
export async function* openEntries(
  entries: readonly PartEntry[],
  bodies: AsyncIterable<Body>,
): AsyncGenerator<OpenedPart> {
  let index = 0;
  for await (const { body } of bodies) {
    const entry = entries[index];
    if (!entry) throw refuse("more of them than before");
    const { cipher, facts } = sealPart(body, formOf(index));
    const bytes = async (limit: number): Promise<Uint8Array> => {
      if (entry.size > limit) throw new Fault("TOO_LARGE", `part ${entry.n} is over ${limit} octets`);
      const pieces = await Array.fromAsync(cipher);
      return Buffer.concat(await Array.fromAsync(openCipher(each(pieces), facts())));
    };
    // What comes from the spool was proven as a whole before.
    yield { entry, cipher, facts, clear: () => body, bytes };
    index += 1;
  }
}

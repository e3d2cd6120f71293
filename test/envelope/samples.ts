/** Contents for the tests of the envelope: octets that can be checked, sealed as parts, cut into pieces of any size. */
import { createHash } from "node:crypto";
import { type Content, type Draft, type Opened, type PartFacts, type Sealed, sealPart } from "../../envelope/index.ts";
import { a, b } from "./parties.ts";

export const mebibyte = 1 << 20;
export const message = "0123456789abcdef0123456789abcdef";

/** Octets that look random and are the same in every run. */
export function octets(size: number, seed = 1): Uint8Array {
  const bytes = Buffer.alloc(size);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < size; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The same octets in pieces of at most `step`. */
export async function* inPieces(bytes: Uint8Array, step = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source));
}

/** A body sealed as a part: its facts and its ciphertext. */
export async function sealed(
  body: Uint8Array,
  form: "whole" | "segments",
  step?: number,
): Promise<{ readonly facts: PartFacts; readonly cipher: Buffer }> {
  const part = sealPart(inPieces(body, step), form);
  const cipher = await collect(part.cipher);
  return { facts: part.facts(), cipher };
}

export async function document(bytes: Uint8Array): Promise<Content> {
  const { facts, cipher } = await sealed(bytes, "whole");
  return { role: "cda", type: "text/xml", facts, cipher: () => inPieces(cipher) };
}

export async function instance(bytes: Uint8Array, sop: string): Promise<Content> {
  const { facts, cipher } = await sealed(bytes, "segments");
  return { role: "dicom", type: "application/dicom", sop, facts, cipher: () => inPieces(cipher) };
}

export const cda = Buffer.from(
  "<ClinicalDocument xmlns='urn:hl7-org:v3'><title>Entlassungsbrief · 出院病摘</title></ClinicalDocument>",
  "utf8",
);

/** A record of one document and instances of these sizes. */
export async function record(...sizes: readonly number[]): Promise<readonly Content[]> {
  const instances = sizes.map((size, index) => instance(octets(size, index + 2), `1.2.3.${index + 1}`));
  return [await document(cda), ...(await Promise.all(instances))];
}

/** A push of hospital A to hospital B. */
export const draftOf = (content: readonly Content[], changes: Partial<Draft> = {}): Draft => ({
  purpose: "push",
  message,
  sender: a.org,
  messageType: "116",
  to: [{ org: b.org, certificate: b.unwrapper.certificate }],
  content,
  ...changes,
});

export const bodyOf = (envelope: Sealed): Promise<Buffer> => collect(envelope.body());

/** Clear text of all parts. */
export async function clearParts(opened: Pick<Opened, "parts">): Promise<readonly Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const part of opened.parts()) parts.push(await part.bytes(64 * mebibyte));
  return parts;
}

/** The same octets with one bit changed. */
export function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0x01;
  return copy;
}

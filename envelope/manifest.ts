/** The manifest: what is signed. Its octets are the truth; there is no canonical form, and nothing unknown is let through. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { Fault } from "../errors.ts";
import { readStrictJson } from "./json.ts";
import { maxPartBytes, maxWholeBytes, rootOf, segmentBytes } from "./part.ts";

export const purposes = [
  "provide",
  "push",
  "register",
  "query",
  "retrieve",
  "change",
  "status",
  "response",
  "refusal",
  "receipt",
  "notify",
] as const;
/** What an envelope is for; each resource takes some of them. */
export type Purpose = (typeof purposes)[number];

/** The nine header tags of the paper's Table 1, in its order. */
export const headerNames = [
  "X-EEC-Sender",
  "X-EEC-Receiver",
  "X-EEC-SymmetricAlg",
  "X-EEC-AsymmetricAlg",
  "X-EEC-DistAlg",
  "X-EEC-SignAlg",
  "X-EEC-BodypartCnt",
  "X-EEC-HeaderCnt",
  "X-EEC-MessageType",
] as const;
export type HeaderName = (typeof headerNames)[number];

/** Parts that a manifest lists; the envelope has three more. */
export const maxParts = 25_000;
export const maxRecipients = 64;
/** Octets of a manifest. */
export const maxManifestBytes = 8 * 1024 * 1024;
/** Octets of a manifest that has its author's inside. */
export const maxReaddressedBytes = 16 * 1024 * 1024;
/** Octets of a header's clear value: sealed it stays below 8 KiB. */
export const maxHeaderBytes = 4096;
const maxText = 256;

/** An organisation, a media type: no control character, and no comma, which joins receivers. */
export const text = z
  .string()
  .max(maxText)
  .regex(/^[^\p{Cc},]+$/u);
export const hex32 = z.string().regex(/^[0-9a-f]{32}$/);
export const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
export const utc = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  .refine((at) => !Number.isNaN(Date.parse(at)) && new Date(at).toISOString().startsWith(at.slice(0, 19)));
const base64 = z.string().refine((value) => Buffer.from(value, "base64").toString("base64") === value);
const n = z
  .int()
  .min(1)
  .max(maxParts + 3);

const whole = z.strictObject({
  n,
  role: z.enum(["cda", "command"]),
  type: text,
  size: z.int().min(1).max(maxWholeBytes),
  sha256: hex64,
});
const segments = {
  n,
  type: text,
  size: z.int().min(1).max(maxPartBytes),
  seg: z.literal(segmentBytes),
  segs: base64,
  root: hex64,
};
const instance = z.strictObject({
  ...segments,
  role: z.literal("dicom"),
  sop: z.string().regex(/^[0-9][0-9.]{0,63}$/),
});
const attachment = z.strictObject({ ...segments, role: z.literal("attachment") });
const readdressed = z.strictObject({ n, of: n });

const headers = z.strictObject(
  Object.fromEntries(headerNames.map((name) => [name, z.string().max(maxHeaderBytes)])) as Record<
    HeaderName,
    z.ZodString
  >,
);

const schema = z.strictObject({
  profile: z.literal("semrs-2"),
  id: hex32,
  message: hex32,
  created: utc,
  expires: utc,
  purpose: z.enum(purposes),
  inReplyTo: hex32.nullable(),
  requestDigest: hex64.nullable(),
  sender: z.strictObject({ org: text, cert: hex64 }),
  to: z
    .array(z.strictObject({ org: text, cert: hex64, ski: z.string().regex(/^([0-9a-f]{2}){1,64}$/) }))
    .min(1)
    .max(maxRecipients),
  headers,
  parts: z
    // By role at once: of a union each is tried in turn, and one that does not fit costs more than one that does.
    .array(z.union([z.discriminatedUnion("role", [instance, whole, attachment]), readdressed]))
    .min(1)
    .max(maxParts),
  origin: z.strictObject({ manifest: base64, signature: base64, marks: z.array(base64).max(maxRecipients) }).nullable(),
  log: z.strictObject({ seq: z.int().min(0), head: hex64 }).nullable(),
});

export type Manifest = z.output<typeof schema>;
/** A part that is described by its own digests, not by reference to an origin. */
export type PartEntry = z.output<typeof whole> | z.output<typeof instance> | z.output<typeof attachment>;

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `manifest: ${what}`);

/** Reads a manifest; ENVELOPE_NOT_OPENED names the first thing that does not hold. */
export function readManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > maxReaddressedBytes) throw refuse(`over ${maxReaddressedBytes} octets`);
  const result = schema.safeParse(readStrictJson(bytes, "manifest"));
  if (!result.success) throw refuse(`not valid at ${result.error.issues[0]?.path.join(".") || "its top"}`);
  const manifest = result.data;
  if (!manifest.origin && bytes.length > maxManifestBytes) throw refuse(`over ${maxManifestBytes} octets`);
  for (const [index, part] of manifest.parts.entries()) checkPart(part, index, manifest.origin !== null);
  return manifest;
}

/** n is 1, 5, 6, … without gaps: 2 to 4 are the envelope's own. */
export const partNumber = (index: number): number => (index === 0 ? 1 : index + 4);

/** Part 1 is the document or the command, the others are not; digests fit the size. */
function checkPart(part: Manifest["parts"][number], index: number, hasOrigin: boolean): void {
  if (part.n !== partNumber(index)) throw refuse("part numbers with a gap");
  if ("of" in part !== hasOrigin)
    throw refuse(hasOrigin ? "a part that is not the origin's" : "a part of an origin that is not there");
  if ("of" in part) return;
  if ("sha256" in part !== (index === 0)) throw refuse("a part in a place its role does not have");
  if ("sha256" in part) return;
  const segs = Buffer.from(part.segs, "base64");
  if (segs.length !== 32 * Math.ceil(part.size / segmentBytes) || rootOf(part.size, segs) !== part.root) {
    throw refuse("segment digests that do not fit the size or the root");
  }
}

/** The octets that are signed. */
export const writeManifest = (manifest: Manifest): Uint8Array => new TextEncoder().encode(JSON.stringify(manifest));

/** The parts in order, a re-addressed one as its author describes it. */
export function entriesOf({ parts, origin }: Pick<Manifest, "parts" | "origin">): readonly PartEntry[] {
  const author = origin ? readManifest(Buffer.from(origin.manifest, "base64")).parts : [];
  const byNumber = new Map(author.map((part) => [part.n, part]));
  return parts.map((part) => {
    if (!("of" in part)) return part;
    const found = byNumber.get(part.of);
    if (!found || "of" in found) throw refuse("a part of the origin that is not there");
    return found;
  });
}

/** What makes two envelopes of one message the same: SHA-256 over role 00 u64 size and digest of record of each part, hex. */
export function contentDigest(manifest: Pick<Manifest, "parts" | "origin">): string {
  const hash = createHash("sha256");
  for (const part of entriesOf(manifest)) {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(part.size));
    hash
      .update(`${part.role}\0`)
      .update(size)
      .update("sha256" in part ? part.sha256 : part.root, "hex");
  }
  return hash.digest("hex");
}

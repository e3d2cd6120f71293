/**
 * Who takes part, and what a house says of itself: public documents, each an attached SignedData, so that what was fetched once can be
 * verified by anybody with OpenSSL, later and without us (decision 18).
 */
import { z } from "zod";
import { Fault } from "../errors.ts";
import { directoryContentType } from "./algorithms.ts";
import { readStrictJson } from "./json.ts";
import type { Signer } from "./keys.ts";
import { signAttached, verifySignedData } from "./signed-data.ts";

export const maxDirectoryBytes = 64 * 1024 * 1024;
const maxParticipants = 10_000;
const maxCertificates = 8;

const text = z.string().min(1).max(256);
/** DER in Base64. */
const certificates = z.array(z.base64().max(16_384)).max(maxCertificates);

const participant = z.strictObject({
  org: text,
  name: text,
  /** https://host:port */
  address: text,
  roles: z.array(z.enum(["registry", "repository"])).max(2),
  profiles: z.array(text).max(8),
  certificates: z.strictObject({ sign: certificates, decrypt: certificates, tls: certificates }),
});

/** What is published, by its name. */
export const publicSchemas = {
  participants: z.strictObject({
    document: z.literal("participants"),
    /** Who says so. */
    by: text,
    participants: z.array(participant).max(maxParticipants),
  }),
  house: z.strictObject({
    document: z.literal("house"),
    version: text,
    house: participant,
    /** What is served under /semrs/v1, and the purposes it takes. */
    resources: z.array(z.strictObject({ path: text, purposes: z.array(text).max(16) })).max(64),
    /** Octets, and counts. */
    limits: z.record(text, z.int().min(0)),
  }),
} as const;

export type Participant = z.output<typeof participant>;
export type PublicName = keyof typeof publicSchemas;
export type PublicDocument<N extends PublicName> = z.output<(typeof publicSchemas)[N]>;

/** The document as octets: what is signed, and what its ETag is of. */
export const writePublic = <N extends PublicName>(name: N, value: PublicDocument<N>): Uint8Array =>
  Buffer.from(JSON.stringify(publicSchemas[name].parse(value)));

export const signPublic = (octets: Uint8Array, signer: Signer, at: Date): Promise<Uint8Array> =>
  signAttached(octets, directoryContentType, signer, at);

/** What it says, and the certificate (DER) that signed it: whose that is, is still to be asked. ENVELOPE_NOT_OPENED says why not. */
export function readPublic<N extends PublicName>(name: N, bytes: Uint8Array) {
  if (bytes.length > maxDirectoryBytes)
    throw new Fault("ENVELOPE_NOT_OPENED", `${name}: over ${maxDirectoryBytes} octets`);
  const { content, ...signed } = verifySignedData(bytes, directoryContentType);
  const parsed = publicSchemas[name].safeParse(readStrictJson(content, name));
  if (parsed.success) return { document: parsed.data as PublicDocument<N>, ...signed };
  throw new Fault(
    "ENVELOPE_NOT_OPENED",
    `${name}: not valid at ${parsed.error.issues[0]?.path.join(".") || "its top"}`,
  );
}

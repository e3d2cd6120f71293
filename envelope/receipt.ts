/** Receipts: signed proof, complete in itself, of what was received, by whom and when. Made once, kept as long as the record. */
import { z } from "zod";
import { Fault } from "../errors.ts";
import type { Certificate } from "./certificate.ts";
import { readStrictJson } from "./json.ts";
import type { Signer } from "./keys.ts";
import type { Trust } from "./path.ts";
import { receiptContentType, signAttached, verifySignedData } from "./signed-data.ts";
import { trustedOwner } from "./signer.ts";

const hex32 = z.string().regex(/^[0-9a-f]{32}$/);
const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
const org = z
  .string()
  .max(256)
  .regex(/^[^\p{Cc},]+$/u);
const maxNames = 200;
const maxOutcomes = 32;
const maxReceiptBytes = 256 * 1024;

/** What a receipt says. */
export const receiptSchema = z.strictObject({
  message: hex32,
  /** Of the envelope that was received. */
  id: hex32,
  manifestSha256: hex64,
  from: org,
  to: org,
  verdict: z.enum(["stored", "delivered", "refused"]),
  receivedAt: z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    .refine((at) => !Number.isNaN(Date.parse(at))),
  /** SHA-256 of the authors' manifests it vouches for: a registry's receipt dates them (the marks). */
  names: z.array(hex64).max(maxNames).readonly(),
  /** Of a delivered record: what each system of the house answered, such as AA or 24 × 0000. */
  outcomes: z
    .array(z.strictObject({ system: org.max(64), answer: z.string().max(64) }))
    .max(maxOutcomes)
    .readonly()
    .optional(),
  /** Where the audit log of who signed it stood; missing in receipts of versions that keep none. */
  log: z.strictObject({ seq: z.int().min(0), head: hex64 }).optional(),
});
/** Digests in hex, `receivedAt` in whole seconds UTC. */
export type Receipt = z.output<typeof receiptSchema>;

export type ReceiptChecks = {
  readonly trust: Trust;
  readonly now: Date;
  /** Owner of a signing certificate (SHA-256, hex). */
  partner(certificateSha256: string, certificate: Certificate): { readonly org: string } | undefined;
};

/** Attached SignedData over the receipt's JSON; ENVELOPE_MALFORMED for what no reader would take. */
export async function signReceipt(receipt: Receipt, signer: Signer, at: Date): Promise<Uint8Array> {
  const parsed = receiptSchema.safeParse(receipt);
  if (!parsed.success)
    throw new Fault(
      "ENVELOPE_MALFORMED",
      `receipt: not valid at ${parsed.error.issues[0]?.path.join(".") || "its top"}`,
    );
  return await signAttached(new TextEncoder().encode(JSON.stringify(parsed.data)), receiptContentType, signer, at);
}

export type VerifiedReceipt = { readonly receipt: Receipt; readonly org: string };

/** The receipt and the organisation that signed it, which is the one it is from. ENVELOPE_NOT_OPENED says why not. */
export const verifyReceipt = (bytes: Uint8Array, checks: ReceiptChecks): VerifiedReceipt =>
  verified(readReceipt(bytes), checks, undefined);

/** One of earlier, a mark or kept evidence: where its certificate has ended, that is judged as of `receivedAt`. */
export function verifyEarlierReceipt(bytes: Uint8Array, checks: ReceiptChecks): VerifiedReceipt {
  const signed = readReceipt(bytes);
  return verified(signed, checks, new Date(signed.receipt.receivedAt));
}

function verified(
  { receipt, signer, certificates }: ReturnType<typeof readReceipt>,
  { trust, now, partner }: ReceiptChecks,
  endedAsOf: Date | undefined,
): VerifiedReceipt {
  const { owner } = trustedOwner(signer, certificates, { trust, at: now, now, endedAsOf, partner });
  if (receipt.from !== owner.org) throw new Fault("ENVELOPE_NOT_OPENED", "receipt: not from the one who signed it");
  return { receipt, org: owner.org };
}

/** What a receipt says that we made and kept ourselves: it stays true when the certificate of its day has ended. */
export const keptReceipt = (bytes: Uint8Array): Receipt => readReceipt(bytes).receipt;

/** What it says, and the certificate (DER) that signed it: whose that is, is still to be asked. */
export function readReceipt(bytes: Uint8Array) {
  if (bytes.length > maxReceiptBytes) throw new Fault("ENVELOPE_NOT_OPENED", `receipt: over ${maxReceiptBytes} octets`);
  const { content, ...signed } = verifySignedData(bytes, receiptContentType);
  const parsed = receiptSchema.safeParse(readStrictJson(content, "receipt"));
  if (!parsed.success)
    throw new Fault(
      "ENVELOPE_NOT_OPENED",
      `receipt: not valid at ${parsed.error.issues[0]?.path.join(".") || "its top"}`,
    );
  return { receipt: parsed.data, ...signed };
}

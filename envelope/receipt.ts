/** Receipts: signed proof, complete in itself, of what was received, by whom and when. Made once, kept as long as the record. */
import { z } from "zod";
import { Fault } from "../errors.ts";
import { readCertificate } from "./certificate.ts";
import { readStrictJson } from "./json.ts";
import type { Signer } from "./keys.ts";
import { type Trust, validatePath } from "./path.ts";
import { receiptContentType, signAttached, verifySignedData } from "./signed-data.ts";
import { isSigningCertificate } from "./signer.ts";

const hex32 = z.string().regex(/^[0-9a-f]{32}$/);
const hex64 = z.string().regex(/^[0-9a-f]{64}$/);
const maxNames = 200;
const maxReceiptBytes = 256 * 1024;

const schema = z.strictObject({
  message: hex32,
  /** Of the envelope that was received. */
  id: hex32,
  manifestSha256: hex64,
  from: z.string().min(1).max(256),
  to: z.string().min(1).max(256),
  verdict: z.enum(["stored", "delivered", "refused"]),
  receivedAt: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
  /** SHA-256 of the authors' manifests it vouches for: a registry's receipt dates them (the marks). */
  names: z.array(hex64).max(maxNames),
});
export type Receipt = z.output<typeof schema>;

export type ReceiptChecks = {
  readonly trust: Trust;
  readonly now: Date;
  /** Owner of a signing certificate. */
  partner(certificateSha256: string): { readonly org: string } | undefined;
};

/** Attached SignedData over the receipt's JSON. */
export const signReceipt = (receipt: Receipt, signer: Signer, at: Date): Promise<Uint8Array> =>
  signAttached(new TextEncoder().encode(JSON.stringify(schema.parse(receipt))), receiptContentType, signer, at);

/** The receipt and the organisation that signed it, which is the one it is from. ENVELOPE_NOT_OPENED says why not. */
export function verifyReceipt(
  bytes: Uint8Array,
  { trust, now, partner }: ReceiptChecks,
): { readonly receipt: Receipt; readonly org: string } {
  if (bytes.length > maxReceiptBytes) throw new Fault("ENVELOPE_NOT_OPENED", `receipt: over ${maxReceiptBytes} octets`);
  const { content, signer, certificates } = verifySignedData(bytes, receiptContentType);
  const certificate = readCertificate(signer);
  const owner = partner(certificate.sha256);
  if (!owner || !isSigningCertificate(certificate))
    throw new Fault("ENVELOPE_NOT_OPENED", "receipt: signed by nobody known");
  try {
    validatePath(signer, certificates, trust, now);
  } catch (cause) {
    throw new Fault("ENVELOPE_NOT_OPENED", `receipt: ${(cause as Error).message}`, { cause });
  }
  const parsed = schema.safeParse(readStrictJson(content));
  if (!parsed.success || parsed.data.from !== owner.org)
    throw new Fault("ENVELOPE_NOT_OPENED", "receipt: not from the one who signed it");
  return { receipt: parsed.data, org: owner.org };
}

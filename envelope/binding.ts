/** What a verified manifest must agree with: the clear headers, the sealed ones, the keys, the clock, and the request it answers. */
import { Fault } from "../errors.ts";
import { type Certificate, readCertificate } from "./certificate.ts";
import { type ClearHeaders, headerKey, openHeader } from "./headers.ts";
import { headerNames, type Manifest } from "./manifest.ts";
import type { Opening } from "./open.ts";
import type { VerifiedSigner } from "./signer.ts";

const skewMs = 5 * 60_000;
/** The longest time from `created` to `expires`. */
export const maxLifetimeMs = 7 * 24 * 3600 * 1000;
/** DER of KeyTransRecipientInfo starts with SEQUENCE, of KeyAgreeRecipientInfo with [1] (RFC 5652 6.2). */
const algorithmByTag: Readonly<Record<number, string>> = { 48: "rsaes-oaep-sha256", 161: "ecdh-p256-aes256-wrap" };
const algorithmByKey: Readonly<Record<string, string>> = {
  ec: "ecdsa-p256-sha256",
  rsa: "rsa-pss-sha256",
  ed25519: "ed25519",
};

/** A RecipientInfo of part 4 and the subject key identifier (hex) it names. */
export type Recipient = { readonly info: Uint8Array; readonly ski: string };

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", what);

/** The sender is the owner of the certificate that signed, who uses this profile. */
export function checkSender({ sender }: Manifest, { owner, certificate }: VerifiedSigner): void {
  if (!owner.profiles.includes("semrs-2")) throw refuse(`${owner.org} is not configured for semrs-2`);
  if (sender.org !== owner.org || sender.cert !== certificate.sha256)
    throw refuse("the sender is not the one who signed");
}

/** `to` and the RecipientInfos are the same keys in the same order, and our certificate is among them. */
export function checkRecipients(
  { to }: Manifest,
  recipients: readonly Recipient[],
  { self, certificate }: { readonly self: string; readonly certificate: Uint8Array },
): void {
  if (to.length !== recipients.length || to.some(({ ski }, index) => ski !== recipients[index]?.ski))
    throw refuse("to and the RecipientInfos differ");
  const { sha256 } = readCertificate(certificate);
  if (!to.some(({ org, cert }) => org === self && cert === sha256))
    throw refuse("the envelope is not for our certificate");
}

/** Created when it was signed, neither in the future nor expired. */
export function checkTime(manifest: Pick<Manifest, "created" | "expires">, signingTime: Date | null, now: Date): void {
  const [created, expires] = [Date.parse(manifest.created), Date.parse(manifest.expires)];
  if (signingTime && Math.abs(signingTime.getTime() - created) > skewMs)
    throw refuse("signing-time and created differ");
  if (expires <= created || expires - created > maxLifetimeMs)
    throw refuse("a lifetime of nothing, or over seven days");
  if (created > now.getTime() + skewMs)
    throw new Fault("ENVELOPE_EXPIRED", "the envelope is from the future; check both clocks");
  if (expires < now.getTime() - skewMs)
    throw new Fault("ENVELOPE_EXPIRED", "the envelope has expired; it must be sealed anew");
}

/** Each sealed header says what was signed, and what was signed is true of this envelope. */
export function checkHeaders(
  manifest: Manifest,
  { id, sealed }: ClearHeaders,
  {
    oneTimeKey,
    signer,
    recipients,
  }: { readonly oneTimeKey: Uint8Array; readonly signer: Certificate; readonly recipients: readonly Recipient[] },
): void {
  if (manifest.id !== id) throw refuse("the manifest is of another envelope");
  const key = headerKey(oneTimeKey, id);
  const { headers, sender, to, parts } = manifest;
  const kinds = recipients.map(({ info }) => algorithmByTag[info[0] ?? 0] ?? "");
  const truth: Partial<typeof headers> = {
    "X-EEC-Sender": sender.org,
    "X-EEC-Receiver": to.map(({ org }) => org).join(","),
    "X-EEC-SymmetricAlg": "aes-256-gcm",
    "X-EEC-AsymmetricAlg": [...new Set(kinds)].join(","),
    "X-EEC-DistAlg": "sha-256",
    "X-EEC-SignAlg": algorithmByKey[signer.publicKey.asymmetricKeyType ?? ""] ?? "",
    "X-EEC-BodypartCnt": String(parts.length + 3),
    "X-EEC-HeaderCnt": String(headerNames.length),
  };
  for (const name of headerNames) {
    if (openHeader(key, name, sealed[name]) !== headers[name]) throw refuse(`${name} differs from what was signed`);
    if (headers[name] !== (truth[name] ?? headers[name]))
      throw refuse(`${name} is signed and not true of this envelope`);
  }
}

/** An answer is to the outstanding request, from the one it was sealed for; a request is none, and comes over its sender's own connection. */
export function checkAnswer(
  { inReplyTo, requestDigest }: Pick<Manifest, "inReplyTo" | "requestDigest">,
  org: string,
  { reply, peer }: Pick<Opening, "reply" | "peer">,
): void {
  if (peer !== undefined && peer !== org) throw refuse(`signed by ${org}, sent over the connection of ${peer}`);
  const [id, digest] = reply ? [reply.inReplyTo, reply.requestDigest] : [null, null];
  if (inReplyTo !== id || requestDigest !== digest)
    throw refuse(reply ? "the answer to another request" : "an answer where a request is due");
  if (reply && org !== reply.from) throw refuse(`an answer of ${org} to a request that was sealed for ${reply.from}`);
}

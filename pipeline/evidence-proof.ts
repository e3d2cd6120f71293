/** How a signature is verified with OpenSSL alone: as of now, or as of its own day where its certificate has ended or was revoked since. */
import { readCertificate } from "../envelope/certificate.ts";
import { type Identity, ownerOf } from "../envelope/identity.ts";
import { validatePath } from "../envelope/index.ts";

export type Signature = {
  /** DER, as the signature carries them. */
  readonly signer: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  /** The house that it is said to be of. */
  readonly org: string;
  readonly signedAt: Date;
  /** Somebody else has signed that it was there at `signedAt`: a revocation after that does not undo it. */
  readonly isMarked: boolean;
};

/** Beginnings of commands, all of which must verify it, and what the page says beside it; no command where nothing proves it any more. */
export type Proof = { readonly verify: readonly string[]; readonly says: string };

const openssl = "openssl cms -verify -cades -binary -inform DER -CAfile trust.pem -purpose any";

/** As of `now`: also of a certificate that has ended, or was revoked, since it signed. */
export function proofOf(identity: Identity, signature: Signature, now: Date): Proof {
  const { signer, certificates, org, signedAt, isMarked } = signature;
  const { trust } = identity;
  const listed = trust.crls.length > 0 ? `${openssl} -crl_check` : openssl;
  const refusal = (at: Date, revokedBy: Date, by = trust): string | null => {
    try {
      validatePath(signer, certificates, by, at, now, revokedBy);
      return null;
    } catch (thrown) {
      return (thrown as Error).message;
    }
  };
  if (ownerOf(identity, readCertificate(signer).sha256)?.org !== org)
    return { verify: [], says: notProven(`its certificate is not known as one of ${org}`) };
  const today = refusal(now, now);
  const asOfNow = `-attime ${seconds(now)}`;
  // OpenSSL asks the lists of today for their time, too: where one has ended, revocation and validity are two questions.
  if (today === null)
    return refusal(now, now, { ...trust, crlStaleMs: 0 }) === null
      ? { verify: [`${listed} ${asOfNow}`], says: "" }
      : {
          verify: [`${listed} -no_check_time`, `${openssl} ${asOfNow}`],
          says: "; the revocation list has ended since",
        };

  const asOfThen = `${openssl} -attime ${seconds(signedAt)}`;
  if (refusal(signedAt, now) === null)
    return { verify: [`${listed} -no_check_time`, asOfThen], says: "; the certificate has ended since" };
  if (isMarked && refusal(signedAt, signedAt) === null)
    return { verify: [asOfThen], says: "; the certificate was revoked since, `trust.pem` says when" };
  return { verify: [], says: notProven(today) };
}

const notProven = (cause: string): string => `; **not proven any more**: ${cause}`;
const seconds = (at: Date): number => Math.floor(at.getTime() / 1000);

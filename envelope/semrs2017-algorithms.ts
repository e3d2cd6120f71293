/** What semrs-2017 fixes where the paper names no algorithm, and what the headers of Table 1 say of it. */
import { type HeaderName, headerNames } from "./manifest.ts";

/**
 * How the one-time key travels in part 4 (RFC 8017 7.1, 7.2), agreed with each partner. In Java the OAEP of this name hides
 * its mask behind SHA-1 unless told otherwise, so that is a choice of its own.
 */
export const transports = {
  "rsa-pkcs1": { name: "RSA/ECB/PKCS1Padding", mask: null },
  "rsa-oaep": { name: "RSA/ECB/OAEPWithSHA-256AndMGF1Padding", mask: "sha256" },
  "rsa-oaep-java": { name: "RSA/ECB/OAEPWithSHA-256AndMGF1Padding", mask: "sha1" },
} as const;
export type KeyTransport = keyof typeof transports;
export const keyTransports = Object.keys(transports) as [KeyTransport, ...KeyTransport[]];

export const signatureName = "SHA256withRSA";
export const keyBytes = 32;
export const blockBytes = 16;
export const digestBytes = 32;
/** EncEMR, EncDist, EncSign, EncKey; the DICOM documents follow as 5 … n. */
export const ownParts = 4;

/** What an envelope between these two, of so many instances, says in its headers. */
export type Expected = {
  readonly sender: string;
  readonly receiver: string;
  readonly transport: KeyTransport;
  readonly instances: number;
};

/** The eight values that configuration and body determine; the ninth, X-EEC-MessageType, is the message's own. */
export const determined = ({ sender, receiver, transport, instances }: Expected) =>
  ({
    "X-EEC-Sender": sender,
    "X-EEC-Receiver": receiver,
    "X-EEC-SymmetricAlg": "AES/CBC/PKCS5Padding",
    "X-EEC-AsymmetricAlg": transports[transport].name,
    "X-EEC-DistAlg": "SHA-256",
    "X-EEC-SignAlg": signatureName,
    "X-EEC-BodypartCnt": String(ownParts + instances),
    "X-EEC-HeaderCnt": String(headerNames.length),
  }) as const satisfies Readonly<Partial<Record<HeaderName, string>>>;

/** Documents only: an EEC form (113 … 121) or a LOINC code. A command has no place in a profile that signs no header. */
export const isDocumentType = (messageType: string): boolean =>
  /^(?:11[3-9]|12[01]|[1-9][0-9]{0,6}-[0-9])$/.test(messageType);

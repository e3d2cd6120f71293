/** The sealed envelope: what the rest of the project uses of it. The format is specified in SPEC.md. */
export { partLength, partStream } from "./frame.ts";
export { contentDigest, type Manifest, type PartEntry, type Purpose, readManifest } from "./manifest.ts";
export { type Opened, type Opening, open } from "./open.ts";
export type { OpenedPart } from "./opened-part.ts";
export type { VerifiedOrigin } from "./origin.ts";
export { openCipher, type PartFacts, type SealedPart, sealPart, segmentBytes } from "./part.ts";
export { type Trust, validatePath } from "./path.ts";
export { type Profile, profileOf } from "./profile.ts";
export type { RawHeaders } from "./raw-headers.ts";
export { type Receipt, signReceipt, verifyReceipt } from "./receipt.ts";
export { type Content, contentOf, type Draft, type Origin, type Sealed, type Signed, seal, sign } from "./seal.ts";
export { manifestContentType, verifySignedData } from "./signed-data.ts";

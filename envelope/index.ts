/** The sealed envelope: what the rest of the project uses of it. The format is specified in SPEC.md. */
export { type AnyOpened, maxBetweenHouses, openAs, sealAs, type WholeProfile } from "./by-profile.ts";
export { type Checkpoint, readCheckpoint, signCheckpoint } from "./checkpoint.ts";
export {
  maxDirectoryBytes,
  type Participant,
  type PublicDocument,
  type PublicName,
  readPublic,
  signPublic,
  writePublic,
} from "./directory.ts";
export { type FailureLimit, failureLimit } from "./failure-limit.ts";
export { partLength, partStream } from "./frame.ts";
export { type Run, readRuns } from "./laid-out.ts";
export { contentDigest, type Manifest, type PartEntry, type Purpose, readManifest } from "./manifest.ts";
export { utcSeconds } from "./manifest-of.ts";
export { type Message, readMessage, writeMessage } from "./message.ts";
export { type Opened, type Opening, open, type VerifiedSender } from "./open.ts";
export type { OpenedPart } from "./opened-part.ts";
export type { VerifiedOrigin } from "./origin.ts";
export {
  type Digests,
  digestPart,
  type PartFacts,
  type SealedPart,
  sealDigested,
  sealOctets,
  sealPart,
  sealWhole,
  segmentBytes,
} from "./part.ts";
export { openCipher } from "./part-open.ts";
export { orStale, type Trust, validatePath } from "./path.ts";
export { type Profile, profileOf } from "./profile.ts";
export { isEnvelopeHeader, type RawHeaders } from "./raw-headers.ts";
export { keptReceipt, type Receipt, readReceipt, signReceipt, verifyReceipt } from "./receipt.ts";
export { revokedAt } from "./revocation.ts";
export {
  type Content,
  contentOf,
  type Draft,
  type Origin,
  type Sealed,
  type SealedRuns,
  type Signed,
  seal,
  sign,
} from "./seal.ts";
export { type KeyTransport, keyTransports } from "./semrs2017-algorithms.ts";
export {
  checkSeparate,
  type LegacySigner,
  type LegacyUnwrapper,
  legacySignerFrom,
  legacyUnwrapperFrom,
} from "./semrs2017-keys.ts";
export {
  type LegacyPartner,
  type Opened2017,
  type OpenedInstance,
  type Opening2017,
  open2017,
  type Repeated,
  type Reservation,
} from "./semrs2017-open.ts";
export { type Draft2017, type Instance, type Sealed2017, seal2017 } from "./semrs2017-seal.ts";
export { manifestContentType, verifySignedData } from "./signed-data.ts";
export { type OpenedSmime4, openSmime4, type Smime4Manifest, type Smime4Opening } from "./smime4.ts";
export { sealSmime4 } from "./smime4-seal.ts";
export type { Spool, Spooled } from "./spool.ts";

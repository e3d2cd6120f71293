/** The author behind a re-addressed record: its own manifest and signature travel inside, and are verified as of their mark. */
import { createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import { type Manifest, readManifest } from "./manifest.ts";
import type { Opening } from "./open.ts";
import { verifyEarlierReceipt } from "./receipt.ts";
import { verifySigner } from "./signer.ts";

export type VerifiedOrigin = {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  /** Hex. */
  readonly manifestSha256: string;
  readonly signature: Uint8Array;
  /** The author: owner of the signing certificate. */
  readonly org: string;
  /** When somebody else first signed that the manifest was there (whole seconds UTC); null: judged as of now. */
  readonly markedAt: string | null;
};

type Checks = Pick<Opening, "trust" | "now" | "partner">;

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `origin: ${what}`);

/**
 * Verifies the origin of an envelope that `sender` has signed. Not checked, since they were for another journey: its
 * receivers, its end, its headers, replay.
 */
export function openOrigin(
  origin: NonNullable<Manifest["origin"]>,
  outer: Manifest,
  sender: string,
  { trust, now, partner }: Checks,
): VerifiedOrigin {
  const manifestBytes = Buffer.from(origin.manifest, "base64");
  const signature = Buffer.from(origin.signature, "base64");
  const manifestSha256 = createHash("sha256").update(manifestBytes).digest("hex");
  const manifest = readManifest(manifestBytes);
  const markedAt = earliestMark(origin.marks, manifestSha256, manifest.sender.org, { trust, now, partner });
  const at = markedAt === null ? now : new Date(markedAt);
  const { owner, certificate } = verifySigner(manifestBytes, signature, { trust, at, now, partner });
  if (manifest.sender.org !== owner.org || manifest.sender.cert !== certificate.sha256)
    throw refuse("its sender is not the one who signed it");
  if (manifest.purpose !== "provide" && manifest.purpose !== "push") throw refuse(`its purpose is ${manifest.purpose}`);
  if (owner.org !== sender && !owner.relays?.includes(sender)) throw refuse(`${sender} is no relay of ${owner.org}`);
  if (manifest.origin !== null) throw refuse("an origin inside an origin");
  checkReferences(outer, manifest);
  return { manifest, manifestBytes, manifestSha256, signature, org: owner.org, markedAt };
}

/** Every part of the record is there, each once, and its document, or command, in part 1, where its size is that of part 1. */
function checkReferences(outer: Manifest, author: Manifest): void {
  const named = new Set(outer.parts.map((part) => ("of" in part ? part.of : 0)));
  const isWhole = outer.parts.length === author.parts.length && author.parts.every(({ n }) => named.has(n));
  if (!isWhole) throw refuse("a part twice, or not all of its parts");
  const [first] = outer.parts;
  if (!first || !("of" in first) || first.of !== 1) throw refuse("part 1 is another one of its parts");
}

/** The earliest time at which somebody other than the author signed that the manifest was there. */
function earliestMark(marks: readonly string[], manifestSha256: string, author: string, checks: Checks): string | null {
  const times = marks
    .map((mark) => verifyEarlierReceipt(Buffer.from(mark, "base64"), checks))
    .filter(
      ({ receipt, org }) => org !== author && receipt.verdict === "stored" && receipt.names.includes(manifestSha256),
    )
    .map(({ receipt }) => receipt.receivedAt)
    .sort();
  return times[0] ?? null;
}

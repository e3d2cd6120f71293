/** Writes a manifest from a draft: who, for whom, for how long, and the parts by their digests or by reference to their author's. */
import { Fault } from "../errors.ts";
import { readCertificate } from "./certificate.ts";
import type { Signer } from "./keys.ts";
import { type HeaderName, headerNames, type Manifest, partNumber, readManifest } from "./manifest.ts";
import { segmentBytes } from "./part.ts";
import { asymmetricAlgorithm } from "./recipient.ts";
import type { Content, Draft, Origin } from "./seal.ts";

/** The manifest of an envelope with this id. */
export function manifestOf(
  draft: Draft,
  signer: Signer,
  id: string,
  life: { readonly created: Date; readonly expires: Date },
): Manifest {
  const { purpose, message, sender, to, content, inReplyTo, requestDigest, origin } = draft;
  return {
    profile: "semrs-2",
    id,
    message,
    created: utcSeconds(life.created),
    expires: utcSeconds(life.expires),
    purpose,
    inReplyTo: inReplyTo ?? null,
    requestDigest: requestDigest ?? null,
    sender: { org: sender, cert: readCertificate(signer.certificate).sha256 },
    to: to.map(({ org, certificate }) => {
      const { sha256, ski } = readCertificate(certificate);
      return { org, cert: sha256, ski };
    }),
    headers: headersOf(draft, signer),
    parts: origin ? referTo(content, origin) : content.map(describe),
    origin: origin
      ? { manifest: base64(origin.manifest), signature: base64(origin.signature), marks: origin.marks.map(base64) }
      : null,
    log: draft.log ?? null,
  };
}

/** A time as manifests and receipts write it: cut to whole seconds, UTC. */
export const utcSeconds = (at: Date): string => `${at.toISOString().slice(0, 19)}Z`;
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

/** The nine tags of the paper's Table 1, by this profile. */
export function headersOf({ sender, to, content, messageType }: Draft, signer: Signer): Record<HeaderName, string> {
  return {
    "X-EEC-Sender": sender,
    "X-EEC-Receiver": to.map(({ org }) => org).join(","),
    "X-EEC-SymmetricAlg": "aes-256-gcm",
    "X-EEC-AsymmetricAlg": [...new Set(to.map(({ certificate }) => asymmetricAlgorithm(certificate)))].join(","),
    "X-EEC-DistAlg": "sha-256",
    "X-EEC-SignAlg": signer.algorithm,
    "X-EEC-BodypartCnt": String(content.length + 3),
    "X-EEC-HeaderCnt": String(headerNames.length),
    "X-EEC-MessageType": messageType,
  };
}

function describe({ role, type, sop, facts }: Content, index: number): Manifest["parts"][number] {
  const { size, sha256, segs, root } = facts;
  const n = partNumber(index);
  if ((role === "cda" || role === "command") && sha256 !== null) return { n, role, type, size, sha256 };
  if (segs !== null && root !== null) {
    const segments = { type, size, seg: segmentBytes, segs: base64(segs), root } as const;
    if (role === "dicom" && sop !== undefined) return { n, role, ...segments, sop };
    if (role === "attachment" && sop === undefined) return { n, role, ...segments };
  }
  throw new Fault(
    "ENVELOPE_MALFORMED",
    `part ${n}: a ${role} part lacks what its role demands (digests of its form; sop of an instance only)`,
  );
}

/** Re-addressing: each part is one of the origin's, found by its digest of record; equal parts are taken in turn. */
function referTo(content: readonly Content[], origin: Origin): Manifest["parts"] {
  const left = new Map<string, number[]>();
  for (const part of readManifest(origin.manifest).parts) {
    if ("of" in part)
      throw new Fault("ENVELOPE_MALFORMED", "the origin is itself re-addressed; hand on its own origin instead");
    const digest = "sha256" in part ? part.sha256 : part.root;
    left.set(digest, [...(left.get(digest) ?? []), part.n]);
  }
  return content.map(({ facts }, index) => {
    const of = left.get(facts.sha256 ?? facts.root ?? "")?.shift();
    if (of === undefined)
      throw new Fault("ENVELOPE_MALFORMED", `part ${partNumber(index)} is not one of the author's manifest`);
    return { n: partNumber(index), of };
  });
}

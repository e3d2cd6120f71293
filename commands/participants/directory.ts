/** The registry's directory, fetched and verified, beside what channels.yaml knows of the same houses. */
import { hash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import {
  maxDirectoryBytes,
  type Participant,
  type PublicDocument,
  type PublicName,
  readPublic,
  validatePath,
} from "../../envelope/index.ts";
import { Fault } from "../../errors.ts";
import type { Config } from "../../pipeline/config.ts";
import { type Keys, purposes } from "../../pipeline/identity.ts";
import { getFrom } from "../partner-get.ts";

/** Where a document is, from the root. */
const paths: Readonly<Record<PublicName, string>> = {
  participants: "/semrs/v1/participants",
  house: "/.well-known/semrs",
};

/** What a partner publishes; its signature as it came. */
export async function fetchPublic<N extends PublicName>(config: Config, { tls, identity }: Keys, org: string, name: N) {
  const [partner, known] = [config.partners[org], identity.partners.get(org)];
  if (!partner || !known) throw new Fault("RECIPIENT_UNKNOWN", `no partner ${org}; list it under partners`);
  const asking = { pinned: known.tls, maxBytes: maxDirectoryBytes };
  const { status, body } = await getFrom(partner.url, paths[name], tls, asking);
  if (status !== 200)
    throw new Fault("PEER_REFUSED", `${org} answered ${status} to GET ${paths[name]}; it may be of an older version`);
  return { octets: body, ...verified(name, body, known.signing, identity.trust.anchors) };
}

/** It counts only from a signing certificate of who is asked, as channels.yaml has it. ENVELOPE_NOT_OPENED otherwise. */
export function verified<N extends PublicName>(
  name: N,
  octets: Uint8Array,
  signing: readonly string[],
  anchors: readonly Uint8Array[],
): { readonly document: PublicDocument<N>; readonly signedAt: Date } {
  const { document, signer, certificates, signingTime } = readPublic(name, octets);
  const { sha256 } = readCertificate(signer);
  if (!signing.includes(sha256))
    throw new Fault(
      "ENVELOPE_NOT_OPENED",
      `${name}: signed by ${sha256.slice(0, 16)}, which is not the partner's sign.crt`,
    );
  validatePath(signer, certificates, { anchors, crls: [], revocation: "skip" }, signingTime);
  return { document, signedAt: signingTime };
}

export type Compared = {
  readonly org: string;
  readonly certificate: string;
  readonly state: "same" | "differs" | "unknown";
  readonly says: string;
};

/** Each certificate of each partner in channels.yaml with the directory's; houses that only one of them has. */
export function compared(config: Config, { participants }: PublicDocument<"participants">): readonly Compared[] {
  const listed = new Map(participants.map((each) => [each.org, each]));
  const own = { [config.site]: { certificates: config.own.keys }, ...config.partners };
  const ours = Object.entries(own).flatMap(([org, { certificates: folder }]): readonly Compared[] => {
    const there = listed.get(org);
    const here = org === config.site ? config.own.keys : folder;
    if (there) return purposes.flatMap((name) => compareOne(org, name, here, there));
    return [{ org, certificate: "-", state: "unknown", says: "is not in the directory" }];
  });
  const others = participants
    .filter(({ org }) => !Object.hasOwn(own, org))
    .map(({ org }): Compared => ({ org, certificate: "-", state: "unknown", says: "is not in channels.yaml" }));
  return [...ours, ...others];
}

function compareOne(
  org: string,
  name: (typeof purposes)[number],
  folder: string,
  there: Participant,
): readonly Compared[] {
  const file = join(folder, `${name}.crt`);
  // A house of semrs-2017 has none of these.
  if (!existsSync(file) && there.certificates[name].length === 0) return [];
  const mine = existsSync(file) ? pemToDer(readFileSync(file, "utf8")) : [];
  const theirs = there.certificates[name].map((each) => Buffer.from(each, "base64"));
  const [first, other] = [mine[0], theirs[0]];
  if (first && other && Buffer.compare(first, other) === 0)
    return [{ org, certificate: name, state: "same", says: written(first) }];
  const says = `${first ? written(first) : "none"} in channels.yaml, ${other ? written(other) : "none"} in the directory`;
  return [{ org, certificate: name, state: "differs", says }];
}

/** As a person compares it: the beginning of its SHA-256, and its last day. */
export function written(der: Uint8Array): string {
  const digest = hash("sha256", der).slice(0, 16);
  return `${digest} until ${readCertificate(der).notAfter.toISOString().slice(0, 10)}`;
}

/** What a site publishes: the house about itself, and the registry about who takes part. Signed when it changes, and once a day. */
import { hash } from "node:crypto";
import { type Participant, type PublicDocument, type PublicName, signPublic, writePublic } from "../envelope/index.ts";
import { maxParts } from "../envelope/manifest.ts";
import { maxCommandBytes, maxEntries } from "../formats/command.ts";
import { maxPage } from "../formats/query.ts";
import type { Config } from "./config.ts";
import { certificatesOf, speaksLegacy } from "./identity.ts";
import type { Site } from "./site.ts";

/** A signature older than this says little of today. */
const signedForMs = 24 * 3_600_000;

type Publishing = Pick<Site, "config" | "identity" | "now">;
export type PublishedDocument = { readonly octets: Uint8Array; readonly etag: string };
export type PublishedHere = { readonly path: string; document(): Promise<PublishedDocument> };
type Serves = { readonly version: string; readonly resources: PublicDocument<"house">["resources"] };

/** The documents of a site; certificates as they were loaded, or reloaded. */
export function publishedBy(site: Publishing, serves: Serves): readonly PublishedHere[] {
  const { config, identity } = site;
  // Partners whose certificates were reloaded are other objects.
  const known = () => [...identity.partners.values()];
  const house = {
    path: "/.well-known/semrs",
    document: signed(
      site,
      "house",
      () => [],
      () => houseOf(site, serves),
    ),
  };
  const directory = {
    path: "/semrs/v1/participants",
    document: signed(site, "participants", known, () => participantsOf(site)),
  };
  return config.own.registry ? [house, directory] : [house];
}

/** Made anew when one of its sources is another, signed anew when that is long ago; `etag` is of what it says. */
function signed<N extends PublicName>(
  { identity, now }: Publishing,
  name: N,
  sources: () => readonly unknown[],
  made: () => PublicDocument<N>,
): () => Promise<PublishedDocument> {
  let kept:
    | { readonly from: readonly unknown[]; readonly at: number; readonly document: Promise<PublishedDocument> }
    | undefined;
  return async () => {
    const [from, at] = [sources(), now()];
    const isCurrent = kept && at.getTime() - kept.at < signedForMs && from.length === kept.from.length;
    if (!kept || !isCurrent || from.some((each, n) => each !== kept?.from[n])) {
      const octets = writePublic(name, made());
      const etag = hash("sha256", octets);
      const document = signPublic(octets, identity.signer, at).then((signature) => ({ octets: signature, etag }));
      kept = { from, at: at.getTime(), document };
    }
    return await kept.document;
  };
}

function houseOf({ config }: Publishing, { version, resources }: Serves): PublicDocument<"house"> {
  const { instance } = config.own.limits;
  const limits = { parts: maxParts, commandBytes: maxCommandBytes, entries: maxEntries, pageRows: maxPage };
  return { document: "house", version, house: self(config), resources, limits: { ...limits, instanceBytes: instance } };
}

function participantsOf({ config, identity }: Publishing): PublicDocument<"participants"> {
  const others = Object.keys(config.partners)
    .filter((org) => identity.partners.has(org))
    .map((org) => participantOf(config, org));
  return { document: "participants", by: config.site, participants: [self(config), ...others] };
}

const self = (config: Config): Participant => {
  const { repository, registry } = config.own;
  const roles = [...(registry ? (["registry"] as const) : []), ...(repository ? (["repository"] as const) : [])];
  const { host, port } = repository ?? registry ?? config.own.admin;
  const known = config.partners[config.site];
  return {
    org: config.site,
    name: known?.name ?? config.site,
    address: known?.url ?? `https://${host}:${port}`,
    roles,
    profiles: ["semrs-2", "smime-4"],
    certificates: certificatesIn(config.site, config.own.keys),
  };
};

function participantOf(config: Config, org: string): Participant {
  const partner = config.partners[org];
  if (!partner) throw new Error(`${org} is a partner`);
  const certificates = speaksLegacy(partner)
    ? { sign: [], decrypt: [], tls: written(certificatesOf(org, partner.certificates, "tls")) }
    : certificatesIn(org, partner.certificates);
  return {
    org,
    name: partner.name ?? org,
    address: partner.url,
    roles: [org === config.registryPartner ? "registry" : "repository"],
    profiles: partner.profiles,
    certificates,
  };
}

const certificatesIn = (org: string, folder: string): Participant["certificates"] => ({
  sign: written(certificatesOf(org, folder, "sign")),
  decrypt: written(certificatesOf(org, folder, "decrypt")),
  tls: written(certificatesOf(org, folder, "tls")),
});

const written = (certificates: readonly Uint8Array[]): string[] =>
  certificates.map((der) => Buffer.from(der).toString("base64"));

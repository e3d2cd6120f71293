/** Reads a site's keys, its partners' certificates and the trust anchors from the folders that the configuration names. */
import { hash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { z } from "zod";
import type { tlsOptions } from "../connectors/wire.ts";
import { pemToDer, readCertificate } from "../envelope/certificate.ts";
import type { Identity, Partner } from "../envelope/identity.ts";
import { checkSeparate, legacySignerFrom, legacyUnwrapperFrom } from "../envelope/index.ts";
import { pair, signerFrom, type Unwrapper, unwrapperFrom } from "../envelope/keys.ts";
import { asymmetricAlgorithm } from "../envelope/recipient.ts";
import { Fault, reasonOf } from "../errors.ts";
import { keyBytes } from "../store/keys.ts";
import { inboundChannels } from "./channels.ts";
import type { Config, System } from "./config.ts";

/** PEM strings for TLS: what the REST server and client need. */
export type TlsKeys = { readonly key: string; readonly certificate: string; readonly ca: string };

type SystemTls = NonNullable<System["mllp"]>["tls"];

/** What a house has a key for, by the name of its files: one key serves one purpose. */
export const purposes = ["sign", "decrypt", "tls"] as const;
/** Those of semrs-2017, which serve nothing else. */
export const legacyPurposes = ["legacy-sign", "legacy-decrypt"] as const;

const defaultCrlStaleMs = 24 * 3600 * 1000;

export type Keys = { readonly identity: Identity; readonly tls: TlsKeys; readonly storageKey: Uint8Array };

/** Everything secret or trusted of one site. CONFIG_INVALID names the file that is missing or unreadable. */
export function loadKeys(config: Config): Keys {
  const folder = config.own.keys;
  const anchors = config.trust.anchors.flatMap((file) =>
    certificatesIn(file, "put the authority's certificate there", (all) => all.map(readCertificate)),
  );
  const partners = loadPartners(config);
  const tls = pairIn(folder, "tls", (key, certificate) => {
    pair(key, pemToDer(certificate)[0]);
    return { key, certificate };
  });
  return {
    identity: {
      org: config.site,
      signer: pairIn(folder, "sign", signerFrom),
      unwrappers: [pairIn(folder, "decrypt", unwrapperFrom), ...previous(folder)],
      trust: {
        anchors,
        // Read by whoever keeps them current (exchange/revocation.ts); until then nothing is trusted.
        crls: [],
        revocation: "require",
        crlStaleMs: crlStaleOf(config),
      },
      ...([...partners.values()].some(({ legacy }) => legacy) ? { legacy: legacyKeys(folder) } : {}),
      self: partner(config.site, { certificates: folder, profiles: ["semrs-2"], relays: [] }),
      partners,
    },
    tls: { ...tls, ca: config.trust.anchors.map(text).join("\n") },
    storageKey: storageKeyIn(join(folder, "storage.key")),
  };
}

/** The other houses with their certificates, read anew. CONFIG_INVALID as `loadKeys`. */
export function loadPartners({ partners, site }: Pick<Config, "partners" | "site">): ReadonlyMap<string, Partner> {
  const others = Object.entries(partners).filter(([org]) => org !== site);
  const known = others.map(([org, wanted]) =>
    speaksLegacy(wanted) ? legacyPartner(org, wanted) : partner(org, wanted),
  );
  checkDirect(known);
  return new Map(known.map((each) => [each.org, each]));
}

/** Until every partner has the new certificate, what is sealed for the old one still opens (refusal 76). */
function previous(folder: string): readonly Unwrapper[] {
  return existsSync(join(folder, "decrypt.previous.key")) ? [pairIn(folder, "decrypt.previous", unwrapperFrom)] : [];
}

/** What is made of a key and its certificate, or CONFIG_INVALID that says which two files do not do for it. */
function pairIn<T>(folder: string, name: string, from: (keyPem: string, certificatePem: string) => T): T {
  const [key, certificate] = [`${name}.key`, `${name}.crt`];
  const [keyPem, certificatePem] = [text(join(folder, key)), text(join(folder, certificate))];
  try {
    return from(keyPem, certificatePem);
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${join(folder, key)} with ${certificate}: ${reasonOf(cause)}`, { cause });
  }
}

/** The TLS block of a system as its connector takes it; nothing where the wire is clear. */
export function tlsOf({ file }: Config, keys: TlsKeys, tls: SystemTls): { readonly tls?: z.input<typeof tlsOptions> } {
  if (!tls) return {};
  const { trust, clientCertificate, serverName } = tls;
  const ca = trust.length === 0 ? keys.ca : trust.map((path) => text(resolve(dirname(file), path))).join("\n");
  return { tls: { key: keys.key, certificate: keys.certificate, ca, clientCertificate, serverName } };
}

/** One list of revocations serves the whole site: the strictest channel says how stale it may be. */
export function crlStaleOf(config: Config): number {
  const limits = inboundChannels(config).map(({ open }) => open.crlStale);
  return limits.length === 0 ? defaultCrlStaleMs : Math.min(...limits);
}

type Wanted = Config["partners"][string];

function partner(
  org: string,
  { certificates: folder, profiles, relays }: Pick<Wanted, "certificates" | "profiles" | "relays">,
): Partner {
  const [decrypt, tls] = (["decrypt", "tls"] as const).map((name) => certificatesOf(org, folder, name));
  return {
    org,
    signing: signingOf(org, folder),
    decrypt: decrypt?.[0],
    tls: sha256(tls?.[0] ?? new Uint8Array()),
    profiles,
    relays,
  };
}

/** Certificates whose signatures are a house's: those before a renewal, too, since what it signed under them stays its own. */
function signingOf(org: string, folder: string): readonly string[] {
  const file = join(folder, "sign.crt.previous");
  const former = existsSync(file) ? pemToDer(text(file)) : [];
  return [...certificatesOf(org, folder, "sign"), ...former].map(sha256);
}

/** Whether a partner is configured for semrs-2017. */
export const speaksLegacy = ({ profiles }: Pick<Wanted, "profiles">): boolean => profiles.includes("semrs-2017");

/** A partner with semrs-2017; what it has for semrs-2 waits for the first envelope in that, which ends the other. */
function legacyPartner(org: string, { certificates: folder, transport }: Wanted): Partner {
  const modern = (["sign", "decrypt"] as const).filter((name) => existsSync(join(folder, `${name}.crt`)));
  const names = [...legacyPurposes, "tls", ...modern] as const;
  const of = new Map(names.map((name) => [name, certificatesOf(org, folder, name)]));
  const first = (name: (typeof names)[number]): Uint8Array => of.get(name)?.[0] ?? new Uint8Array();
  checkSeparate(Object.fromEntries(names.map((name) => [join(folder, `${name}.crt`), first(name)])));
  const signing = Map.groupBy(of.get("legacy-sign") ?? [], (der) => readCertificate(der).isCa);
  return {
    org,
    signing: of.has("sign") ? signingOf(org, folder) : [],
    decrypt: of.get("decrypt")?.[0],
    tls: sha256(first("tls")),
    profiles: of.has("sign") && of.has("decrypt") ? ["semrs-2"] : [],
    legacy: {
      org,
      profiles: ["semrs-2017"],
      signing: signing.get(false) ?? [],
      chain: signing.get(true) ?? [],
      transport,
      decrypt: first("legacy-decrypt"),
    },
  };
}

function legacyKeys(folder: string): NonNullable<Identity["legacy"]> {
  const der = (name: string) => pemToDer(text(join(folder, name)))[0] ?? new Uint8Array();
  const names = [...purposes, ...legacyPurposes];
  checkSeparate(Object.fromEntries(names.map((name) => [join(folder, `${name}.crt`), der(`${name}.crt`)])));
  return {
    signer: pairIn(folder, "legacy-sign", legacySignerFrom),
    unwrapper: pairIn(folder, "legacy-decrypt", legacyUnwrapperFrom),
  };
}

/** With semrs-2017 the TLS certificate says who sends: what ends TLS for two partners could be either. */
function checkDirect(partners: readonly Partner[]): void {
  for (const { org, tls, legacy } of partners) {
    const other = partners.find((each) => each.org !== org && each.tls === tls);
    if (legacy && other)
      throw new Fault(
        "CONFIG_INVALID",
        `${org} and ${other.org} have the same tls.crt; semrs-2017 needs one of its own`,
      );
  }
}

/** Those in one of a partner's files, at least one; the first can be read, and sealed for where it is to decrypt. */
export function certificatesOf(org: string, folder: string, name: string): readonly Uint8Array[] {
  const check = name === "decrypt" ? asymmetricAlgorithm : readCertificate;
  return certificatesIn(join(folder, `${name}.crt`), `ask ${org} for its ${name}.crt`, ([first]) => check(first));
}

type Some = readonly [Uint8Array, ...Uint8Array[]];

/** What does not pass `check` would only be found out by what is sealed for it, or cannot be verified, and parked. */
function certificatesIn(file: string, next: string, check: (all: Some) => unknown): readonly Uint8Array[] {
  const [first, ...others] = pemToDer(text(file));
  if (!first) throw new Fault("CONFIG_INVALID", `${file} holds no certificate; ${next}`);
  try {
    check([first, ...others]);
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file}: ${reasonOf(cause)}; ${next}`, { cause });
  }
  return [first, ...others];
}

/** 32 octets, as 64 hexadecimal digits. CONFIG_INVALID where the file holds anything else, with what to do. */
export function storageKeyIn(file: string, next = "restore it from its backup"): Buffer {
  const key = Buffer.from(text(file).trim(), "hex");
  if (key.length !== keyBytes) throw new Fault("CONFIG_INVALID", `${file} must hold 32 octets in hexadecimal; ${next}`);
  return key;
}

function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    // A file below a folder that is closed to this user looks as if it were not there to existsSync.
    const why =
      (cause as NodeJS.ErrnoException).code === "ENOENT"
        ? 'does not exist; "semrs check" tells what is missing, and what makes it'
        : "cannot be read by this user";
    throw new Fault("CONFIG_INVALID", `${file} ${why}`, { cause });
  }
}

const sha256 = (der: Uint8Array): string => hash("sha256", der);

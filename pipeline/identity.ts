/** Reads a site's keys, its partners' certificates and the trust anchors from the folders that the configuration names. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { z } from "zod";
import type { tlsOptions } from "../connectors/wire.ts";
import { pemToDer } from "../envelope/certificate.ts";
import type { Identity, Partner } from "../envelope/identity.ts";
import { signerFrom, type Unwrapper, unwrapperFrom } from "../envelope/keys.ts";
import { Fault } from "../errors.ts";
import type { Config, System } from "./config.ts";

/** PEM strings for TLS: what the REST server and client need. */
export type TlsKeys = { readonly key: string; readonly certificate: string; readonly ca: string };

type SystemTls = NonNullable<System["mllp"]>["tls"];

const defaultCrlStaleMs = 24 * 3600 * 1000;

export type Keys = { readonly identity: Identity; readonly tls: TlsKeys; readonly storageKey: Uint8Array };

/** Everything secret or trusted of one site. CONFIG_INVALID names the file that is missing or unreadable. */
export function loadKeys(config: Config): Keys {
  const folder = config.own.keys;
  const own = (name: string) => text(join(folder, name));
  const anchors = config.trust.anchors.map(text);
  const partners = Object.entries(config.partners)
    .filter(([org]) => org !== config.site)
    .map(([org, { certificates, profiles }]): [string, Partner] => [org, partner(org, certificates, profiles)]);
  return {
    identity: {
      org: config.site,
      signer: signerFrom(own("sign.key"), own("sign.crt")),
      unwrappers: [unwrapperFrom(own("decrypt.key"), own("decrypt.crt")), ...previous(folder)],
      trust: {
        anchors: anchors.flatMap((pem) => pemToDer(pem)),
        // Read by whoever keeps them current (exchange/revocation.ts); until then nothing is trusted.
        crls: [],
        revocation: "require",
        crlStaleMs: crlStaleOf(config),
      },
      self: partner(config.site, folder, ["semrs-2"]),
      partners: new Map(partners),
    },
    tls: { key: own("tls.key"), certificate: own("tls.crt"), ca: anchors.join("\n") },
    storageKey: storageKey(join(folder, "storage.key")),
  };
}

/** Until every partner has the new certificate, what is sealed for the old one still opens (refusal 76). */
function previous(folder: string): readonly Unwrapper[] {
  const file = join(folder, "decrypt.previous.key");
  return existsSync(file) ? [unwrapperFrom(text(file), text(join(folder, "decrypt.previous.crt")))] : [];
}

/** The TLS block of a system as its connector takes it; nothing where the wire is clear. */
export function tlsOf({ file }: Config, keys: TlsKeys, tls: SystemTls): { readonly tls?: z.input<typeof tlsOptions> } {
  if (!tls) return {};
  const { trust, clientCertificate, serverName } = tls;
  const ca = trust.length === 0 ? keys.ca : trust.map((path) => text(resolve(dirname(file), path))).join("\n");
  return { tls: { key: keys.key, certificate: keys.certificate, ca, clientCertificate, serverName } };
}

/** One list of revocations serves the whole site: the strictest channel says how stale it may be. */
function crlStaleOf({ own }: Config): number {
  const limits = own.channels.flatMap((channel) => (channel.kind === "inbound" ? [channel.open.crlStale] : []));
  return limits.length === 0 ? defaultCrlStaleMs : Math.min(...limits);
}

function partner(org: string, folder: string, profiles: readonly string[]): Partner {
  const certificates = (name: string) => {
    const file = join(folder, name);
    const all = pemToDer(text(file));
    const [first] = all;
    if (!first) throw new Fault("CONFIG_INVALID", `${file} holds no certificate; ask ${org} for its ${name}`);
    return { first, all };
  };
  return {
    org,
    signing: certificates("sign.crt").all.map(sha256),
    decrypt: certificates("decrypt.crt").first,
    tls: sha256(certificates("tls.crt").first),
    profiles,
  };
}

function storageKey(file: string): Uint8Array {
  const key = Buffer.from(text(file).trim(), "hex");
  if (key.length !== 32)
    throw new Fault("CONFIG_INVALID", `${file} must hold 32 octets in hexadecimal; restore it from its backup`);
  return key;
}

function text(file: string): string {
  if (!existsSync(file))
    throw new Fault("CONFIG_INVALID", `${file} does not exist; make keys with "semrs pki init" or correct the path`);
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} cannot be read by this user`, { cause });
  }
}

const sha256 = (der: Uint8Array): string => createHash("sha256").update(der).digest("hex");

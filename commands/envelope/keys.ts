/** Keys and certificates as the command line names them: a site's folder, or files. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Certificate, pemToDer, readCertificate } from "../../envelope/certificate.ts";
import type { Trust } from "../../envelope/index.ts";
import { type Signer, signerFrom, type Unwrapper, unwrapperFrom } from "../../envelope/keys.ts";
import {
  type LegacySigner,
  type LegacyUnwrapper,
  legacySignerFrom,
  legacyUnwrapperFrom,
} from "../../envelope/semrs2017-keys.ts";
import { Fault } from "../../errors.ts";
import { say } from "../exit.ts";

const staleMs = 24 * 3600 * 1000;

/** The organisation in a certificate's name. */
export const organizationIn = (subjectText: string): string | undefined =>
  /(?:^|[^\\], )O=([^,\\]+)/.exec(subjectText)?.[1];

/** The organisation that a certificate names; what partners call its owner. */
export function organizationOf({ subjectText, sha256 }: Certificate): string {
  const organization = organizationIn(subjectText);
  if (!organization) throw new Fault("CONFIG_INVALID", `certificate ${sha256.slice(0, 8)} names no organisation (O=)`);
  return organization;
}

/** A site's folder, or a key file with its certificate. */
export type KeyFlags = {
  readonly folder: string | undefined;
  readonly key: string | undefined;
  readonly certificate: string | undefined;
};

export function signerOf({ folder, key, certificate }: KeyFlags): { readonly org: string; readonly signer: Signer } {
  const [keyPem, pem] = pairOf({ folder, key, certificate }, "sign", "--sender");
  const signer = signerFrom(keyPem, pem);
  return { org: organizationOf(readCertificate(signer.certificate)), signer };
}

/** The current key, and the ones before it (`decrypt.previous.key`, `.crt`): what was sealed for an old certificate still opens. */
export function unwrappersOf({ folder, key, certificate }: KeyFlags): {
  readonly org: string;
  readonly unwrappers: readonly Unwrapper[];
} {
  const [keyPem, pem] = pairOf({ folder, key, certificate }, "decrypt", "--receiver");
  const unwrapper = unwrapperFrom(keyPem, pem);
  const previous =
    folder && existsSync(join(folder, "decrypt.previous.key"))
      ? [unwrapperFrom(text(join(folder, "decrypt.previous.key")), text(join(folder, "decrypt.previous.crt")))]
      : [];
  return { org: organizationOf(readCertificate(unwrapper.certificate)), unwrappers: [unwrapper, ...previous] };
}

/** The keys of semrs-2017, which serve nothing else: `legacy-sign` and `legacy-decrypt` in a site's folder. */
export function legacySignerOf(flags: KeyFlags): { readonly org: string; readonly signer: LegacySigner } {
  const signer = legacySignerFrom(...pairOf(flags, "legacy-sign", "--sender"));
  return { org: organizationOf(readCertificate(signer.certificate)), signer };
}

export function legacyUnwrapperOf(flags: KeyFlags): { readonly org: string; readonly unwrapper: LegacyUnwrapper } {
  const unwrapper = legacyUnwrapperFrom(...pairOf(flags, "legacy-decrypt", "--receiver"));
  return { org: organizationOf(readCertificate(unwrapper.certificate)), unwrapper };
}

type KeyName = "sign" | "decrypt" | "legacy-sign" | "legacy-decrypt";

function pairOf({ folder, key, certificate }: KeyFlags, purpose: KeyName, flag: string): readonly [string, string] {
  if (folder) return [text(join(folder, `${purpose}.key`)), text(join(folder, `${purpose}.crt`))];
  if (key && certificate) return [text(key), text(certificate)];
  throw new Fault("QUERY_INVALID", `say who: ${flag} FOLDER, or --key with --certificate`);
}

/** A partner's certificate: in its site's folder under this name, or a file. */
export function recipientOf(
  path: string,
  purpose: KeyName = "decrypt",
): { readonly org: string; readonly certificate: Uint8Array } {
  const file = existsSync(path) && statSync(path).isDirectory() ? join(path, `${purpose}.crt`) : path;
  const [certificate] = pemToDer(text(file));
  if (!certificate) throw new Fault("CONFIG_INVALID", `${file} holds no certificate`);
  const read = readCertificate(certificate);
  if (purpose !== "legacy-sign" && !(read.keyUsage ?? decrypting).some((usage) => decrypting.includes(usage)))
    throw new Fault("CONFIG_INVALID", `${file} is not to decrypt with; name the house's decrypt.crt, or its folder`);
  return { org: organizationOf(read), certificate };
}

/** Key usages (RFC 5280 4.2.1.3) of who is sealed for; where a certificate says none, it is for anything. */
const decrypting: readonly string[] = ["keyEncipherment", "keyAgreement"];

/** Anchors, and revocation lists: those that are named, else the `.crl` beside an anchor. Without any, only when that is asked for. */
export function trustOf(anchors: readonly string[], crls: readonly string[], isUnchecked: boolean): Trust {
  if (anchors.length === 0) throw new Fault("QUERY_INVALID", "say whom to trust: --trust ca.crt");
  const beside = anchors.map((file) => join(dirname(file), "ca.crl")).filter((file) => existsSync(file));
  const lists = crls.length > 0 ? crls : beside;
  if (lists.length === 0 && !isUnchecked)
    throw new Fault(
      "CONFIG_INVALID",
      "no revocation list: name one with --crl, or say --no-revocation and know that a revoked key passes",
    );
  if (isUnchecked) say("revocation is not checked");
  return {
    anchors: anchors.flatMap((file) => pemToDer(text(file))),
    crls: lists.flatMap((file) => pemToDer(text(file), "X509 CRL")),
    revocation: isUnchecked ? "skip" : "require",
    crlStaleMs: staleMs,
  };
}

function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `${file} cannot be read`, { cause });
  }
}

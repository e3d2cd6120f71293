/** `semrs pki import`: a key and its certificates from PKCS#12, as an authority or an old tool hands them out. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Certificate, derToPem, readCertificate } from "../../envelope/certificate.ts";
import { isPair } from "../../envelope/keys.ts";
import { Fault } from "../../errors.ts";
import { type KeyName, write, writeKey } from "./authority.ts";

type Bag = { readonly key?: unknown; readonly cert?: unknown; readonly asn1?: unknown };

const maxFileBytes = 1024 * 1024;

/** Writes `folder/purpose.key` and `.crt`; their names. CONFIG_INVALID for a wrong password, or a key without its certificate. */
export async function importPkcs12(
  file: string,
  folder: string,
  purpose: KeyName,
  password: string,
): Promise<readonly string[]> {
  const bytes = readFileSync(file);
  if (bytes.length > maxFileBytes) throw new Fault("CONFIG_INVALID", `${file} is over ${maxFileBytes} octets`);
  const { keys, certificates } = await contentOf(bytes, password, file);
  const pairs = keys.flatMap((key) =>
    certificates.filter((certificate) => isPair(key, certificate)).map((certificate) => ({ key, certificate })),
  );
  const [pair, ...more] = pairs;
  if (!pair)
    throw new Fault(
      "CONFIG_INVALID",
      `${file} holds ${keys.length} keys and ${certificates.length} certificates, and none belong together`,
    );
  if (more.length > 0)
    throw new Fault(
      "CONFIG_INVALID",
      `${file} holds ${pairs.length} keys with certificates; export the one that is meant`,
    );
  const chain = [pair.certificate, ...certificates.filter((each) => each !== pair.certificate)];
  const [keyFile, certificateFile] = [join(folder, `${purpose}.key`), join(folder, `${purpose}.crt`)];
  for (const taken of [keyFile, certificateFile])
    if (existsSync(taken))
      throw new Fault("CONFIG_INVALID", `${taken} exists; move it away first, keys are never overwritten`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeKey(keyFile, pair.key);
  write(certificateFile, chain.map(({ raw }) => derToPem(raw, "CERTIFICATE")).join(""), 0o644);
  return [keyFile, certificateFile];
}

/** node-forge reads the container, old ciphers included; keys and certificates are read by our own readers. */
async function contentOf(
  bytes: Buffer,
  password: string,
  file: string,
): Promise<{ readonly keys: readonly KeyObject[]; readonly certificates: readonly Certificate[] }> {
  const { default: forge } = await import("node-forge");
  const { asn1, pkcs12, pki } = forge;
  let read: ReturnType<typeof pkcs12.pkcs12FromAsn1>;
  try {
    read = pkcs12.pkcs12FromAsn1(asn1.fromDer(bytes.toString("binary")), password);
  } catch (cause) {
    throw new Fault(
      "CONFIG_INVALID",
      `${file} cannot be read: no PKCS#12, another password, or one beyond ASCII, which node-forge reads of old ciphers only`,
      { cause },
    );
  }
  const bags = (type: string | undefined): readonly Bag[] =>
    type ? (read.getBags({ bagType: type })[type] ?? []) : [];
  const der = (node: unknown): Buffer =>
    Buffer.from(asn1.toDer(node as Parameters<typeof asn1.toDer>[0]).getBytes(), "binary");
  const { keyBag, pkcs8ShroudedKeyBag, certBag } = pki.oids;
  const keys = [...bags(keyBag), ...bags(pkcs8ShroudedKeyBag)].map((bag) => {
    // forge knows RSA keys only; of any other it hands on what it found.
    const node = bag.key
      ? pki.wrapRsaPrivateKey(pki.privateKeyToAsn1(bag.key as Parameters<typeof pki.privateKeyToAsn1>[0]))
      : bag.asn1;
    return createPrivateKey({ key: der(node), format: "der", type: "pkcs8" });
  });
  const certificates = bags(certBag).map((bag) =>
    readCertificate(
      der(bag.cert ? pki.certificateToAsn1(bag.cert as Parameters<typeof pki.certificateToAsn1>[0]) : bag.asn1),
    ),
  );
  return { keys, certificates };
}

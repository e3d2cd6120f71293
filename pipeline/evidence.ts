/** What proves who sent what to whom when, of one record, as files that anybody verifies with OpenSSL alone. */
import { derToPem } from "../envelope/certificate.ts";
import { ownerOf } from "../envelope/identity.ts";
import { readManifest, verifyReceipt } from "../envelope/index.ts";
import { unpackSigned } from "../envelope/signed-manifest.ts";
import { Fault } from "../errors.ts";
import type { Evidence, StoredRecord } from "../store/store.ts";
import { trace } from "./journal.ts";
import type { Site } from "./site.ts";

/** Names and octets (Base64). */
export type EvidenceFiles = { readonly record: string; readonly files: Readonly<Record<string, string>> };

/** One signed thing: its files' name, and what it says, as a row of the page. */
type Exhibit = {
  readonly name: string;
  readonly says: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly commands: readonly string[];
};

/** Evidence of one record, by an id that `journal trace` knows; DOCUMENT_UNKNOWN, or QUERY_INVALID where it is of several. */
export function evidenceOf(site: Site, query: string): EvidenceFiles {
  const { store, identity, now } = site;
  const ids = trace(store, query).records.map(({ id }) => id);
  const record = store.records.find(ids[0] ?? "");
  if (!record) throw new Fault("DOCUMENT_UNKNOWN", "no record was made of this; evidence is of records");
  if (ids.length > 1) throw new Fault("QUERY_INVALID", `there are ${ids.length} records of this: ${ids.join(", ")}`);

  const { anchors, crls } = identity.trust;
  const at = Math.floor(now().getTime() / 1000);
  const verify = `openssl cms -verify -cades -binary -inform DER -CAfile trust.pem${crls.length > 0 ? " -crl_check" : ""} -attime ${at} -purpose any`;
  const exhibits = [
    authored(record, verify),
    ...store.records.evidence(record.id).map((each) => exhibit(site, record, each, verify)),
  ];
  const trust = [
    ...anchors.map((der) => derToPem(der, "CERTIFICATE")),
    ...crls.map((der) => derToPem(der, "X509 CRL")),
  ].join("");
  const houses = [identity.self, ...identity.partners.values()].map(({ org, signing }) => [org, signing] as const);
  const files: Record<string, Uint8Array> = {
    "trust.pem": Buffer.from(trust),
    "houses.json": Buffer.from(`${JSON.stringify(Object.fromEntries(houses), null, 2)}\n`),
    ...Object.assign({}, ...exhibits.map((each) => each.files)),
  };
  files["README.md"] = Buffer.from(page(record, exhibits, new Date(at * 1000)));
  return {
    record: record.id,
    files: Object.fromEntries(
      Object.entries(files).map(([name, octets]) => [name, Buffer.from(octets).toString("base64")]),
    ),
  };
}

const authored = (record: StoredRecord, verify: string): Exhibit => signed("author", record, "the author's", verify);

function exhibit(
  site: Site,
  { manifestSha256 }: StoredRecord,
  { kind, from, receipt }: Evidence,
  verify: string,
): Exhibit {
  if (kind === "request" || kind === "response") {
    const whose = kind === "request" ? "the request of" : "the answer of";
    return signed(`${kind}-${from}`, unpackSigned(receipt), `${whose} ${from},`, verify);
  }
  const name = `receipt-${kind}-${from}`;
  const { identity, now } = site;
  const checks = { trust: identity.trust, now: now(), partner: (sha256: string) => ownerOf(identity, sha256) };
  const { verdict, receivedAt, to, names } = verifyReceipt(receipt, checks).receipt;
  return {
    name,
    says: `${from} says to ${to} at ${receivedAt}: ${verdict}`,
    files: { [`${name}.p7m`]: receipt },
    commands: [
      `${verify} -in ${name}.p7m -signer ${name}.crt -out ${name}.json`,
      `grep -q "$(openssl x509 -in ${name}.crt -outform DER | openssl dgst -sha256 -r | cut -c1-64)" houses.json`,
      // A receipt for a push names the manifest of that push.
      ...(names.includes(manifestSha256)
        ? [`grep -q "$(openssl dgst -sha256 -r author.json | cut -c1-64)" ${name}.json`]
        : []),
    ],
  };
}

/** A manifest and its signature; the certificate that signed is the one that the manifest names. */
function signed(
  name: string,
  { manifest, signature }: { readonly manifest: Uint8Array; readonly signature: Uint8Array },
  whose: string,
  verify: string,
): Exhibit {
  const { sender, to, created, purpose, requestDigest } = readManifest(manifest);
  return {
    name,
    says: `${whose} manifest: ${sender.org} to ${to.map(({ org }) => org).join(", ")} at ${created}: ${purpose}`,
    files: { [`${name}.json`]: manifest, [`${name}.p7s`]: signature },
    commands: [
      `${verify} -in ${name}.p7s -content ${name}.json -signer ${name}.crt -out /dev/null`,
      `grep -q "\\"cert\\":\\"$(openssl x509 -in ${name}.crt -outform DER | openssl dgst -sha256 -r | cut -c1-64)\\"" ${name}.json`,
      `grep -q "$(openssl x509 -in ${name}.crt -outform DER | openssl dgst -sha256 -r | cut -c1-64)" houses.json`,
      ...(requestDigest ? [`openssl dgst -sha256 -r request-*.json | grep -q ${requestDigest}`] : []),
    ],
  };
}

function page({ id, author, manifestSha256 }: StoredRecord, exhibits: readonly Exhibit[], at: Date): string {
  return `# Evidence of record ${id}

Sealed by ${author}. SHA-256 of its manifest: ${manifestSha256}. Exported at ${at.toISOString()}.

| files | what is signed |
|---|---|
${exhibits.map(({ name, says }) => `| \`${name}.*\` | ${says} |`).join("\n")}
| \`trust.pem\` | the authorities that the exporting house trusts, and their revocation lists of that time |
| \`houses.json\` | SHA-256 of the signing certificates of each house, as the exporting house knows them |

Each command must end with 0. They verify at the time of the export; whether a certificate was revoked since, its authority says.

\`\`\`console
${exhibits.map(({ commands }) => commands.map((each) => `$ ${each}`).join("\n")).join("\n")}
\`\`\`

\`author.json\` lists the SHA-256 of the document (part 1) and of every mebibyte of each image (\`segs\`); \`cert\` is the SHA-256 of the
certificate that signed. A receipt names the manifests that it is for (\`names\`). Compare \`trust.pem\` with what the authorities publish.
`;
}

/** What proves who sent what to whom when, of one record, as files that anybody verifies with OpenSSL alone. */
import { hash } from "node:crypto";
import { derToPem } from "../envelope/certificate.ts";
import { readManifest, readReceipt } from "../envelope/index.ts";
import { manifestContentType, verifySignedData } from "../envelope/signed-data.ts";
import { unpackSigned } from "../envelope/signed-manifest.ts";
import { Fault } from "../errors.ts";
import type { Evidence, StoredRecord } from "../store/store.ts";
import { proofOf, type Signature } from "./evidence-proof.ts";
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
export async function evidenceOf(site: Site, query: string): Promise<EvidenceFiles> {
  const { store, identity, now } = site;
  const ids = (await trace(store, query)).records.map(({ id }) => id);
  const record = store.records.find(ids[0] ?? "");
  if (!record) throw new Fault("DOCUMENT_UNKNOWN", "no record was made of this; evidence is of records");
  if (ids.length > 1) throw new Fault("QUERY_INVALID", `there are ${ids.length} records of this: ${ids.join(", ")}`);

  const { anchors, crls } = identity.trust;
  const at = now();
  const held = store.records.evidence(record.id);
  const kept = [...held, ...marksOf(site, record, held)];
  const exhibits = [authored(site, record, kept, at), ...kept.map((each) => exhibit(site, record, kept, each, at))];
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
  files["README.md"] = Buffer.from(page(record, exhibits, at));
  return {
    record: record.id,
    files: Object.fromEntries(
      Object.entries(files).map(([name, octets]) => [name, Buffer.from(octets).toString("base64")]),
    ),
  };
}

/** Whoever fetched a record was told who has dated it: the marks lie in the answer, and are proof of their own. */
function marksOf({ identity }: Site, record: StoredRecord, held: readonly Evidence[]): readonly Evidence[] {
  const marks = held
    .filter(({ kind }) => kind === "response")
    .flatMap(({ receipt }) => readManifest(unpackSigned(receipt).manifest).origin?.marks ?? [])
    .map((mark) => Buffer.from(mark, "base64"))
    .map((receipt): Evidence => ({ kind: "registered", from: readReceipt(receipt).receipt.from, receipt }))
    .filter(({ from, receipt }) => identity.partners.has(from) && isMark(readReceipt(receipt), record));
  return [...new Map(marks.map((mark) => [mark.from, mark])).values()].filter(
    ({ from }) => !held.some((each) => each.kind === "registered" && each.from === from),
  );
}

/** SPEC, re-addressing: somebody else's receipt that names the manifest. */
const isMark = ({ receipt: { from, verdict, names } }: Read, { author, manifestSha256 }: StoredRecord): boolean =>
  from !== author && verdict === "stored" && names.includes(manifestSha256);
type Read = ReturnType<typeof readReceipt>;

/** The author's signature is dated by the first receipt of somebody else that names the manifest, as when the record is opened. */
function authored(site: Site, record: StoredRecord, kept: readonly Evidence[], at: Date): Exhibit {
  if (!isSignedApart(record)) {
    const says = `${record.author} has signed it together with the document, which is not in this folder: not proven here`;
    return { name: "author", says, files: {}, commands: [] };
  }
  const marks = kept
    .filter(({ kind }) => kind === "registered" || kind === "stored")
    .map(({ receipt }) => readReceipt(receipt))
    .filter((read) => isMark(read, record))
    .filter((mark) => proofOf(site.identity, signatureOf(mark), at).verify.length > 0)
    .map(({ receipt }) => receipt.receivedAt)
    .sort();
  return signed(site, { name: "author", whose: "the author's", markedAt: marks[0] ?? null, ...record }, at);
}

/** The manifest is all that is signed: not so of smime-4 and of semrs-2017. */
const isSignedApart = ({ manifest, manifestSha256, entry }: StoredRecord): boolean =>
  hash("sha256", manifest) === manifestSha256 && (entry as { profile?: string }).profile !== "semrs-2017";

const whoseManifest = {
  request: (from: string) => `the request of ${from},`,
  response: (from: string) => `the answer of ${from},`,
  push: (from: string) => `what ${from} was pushed,`,
} as const;

function exhibit(
  site: Site,
  record: StoredRecord,
  kept: readonly Evidence[],
  { kind, from, receipt }: Evidence,
  at: Date,
): Exhibit {
  if (kind === "request" || kind === "response" || kind === "push") {
    const [name, whose] = [`${kind}-${from}`, whoseManifest[kind](from)];
    const { commands, ...rest } = signed(site, { name, whose, markedAt: null, ...unpackSigned(receipt) }, at);
    const bound = kind === "push" && commands.length > 0 ? [hasSameParts(name)] : [];
    return { ...rest, commands: [...commands, ...bound] };
  }
  const name = `receipt-${kind}-${from}`;
  const read = readReceipt(receipt);
  const { verdict, receivedAt, to, names } = read.receipt;
  const { verify, says } = proofOf(site.identity, signatureOf(read), at);
  const named = namedBy(record, kept, names);
  const unbound = named.length === 0 ? "; the manifest that it names is not in this folder" : "";
  return {
    name,
    says: `${from} says to ${to} at ${receivedAt}: ${verdict}${unbound}${says}`,
    files: { [`${name}.p7m`]: receipt },
    commands: unless(verify.length === 0, [
      ...verify.map((each) => `${each} -in ${name}.p7m -signer ${name}.crt -out ${name}.json`),
      `grep -q "$(openssl x509 -in ${name}.crt -outform DER | openssl dgst -sha256 -r | cut -c1-64)" houses.json`,
      ...named.map((each) => `grep -q "$(openssl dgst -sha256 -r ${each}.json | cut -c1-64)" ${name}.json`),
    ]),
  };
}

/** The manifests in the folder that a receipt names: the record's own, or the one of the push that it was given for. */
function namedBy(record: StoredRecord, kept: readonly Evidence[], names: readonly string[]): readonly string[] {
  const own = isSignedApart(record) && names.includes(record.manifestSha256) ? ["author"] : [];
  const pushes = kept
    .filter(({ kind, receipt }) => kind === "push" && names.includes(hash("sha256", unpackSigned(receipt).manifest)))
    .map(({ from }) => `push-${from}`);
  return [...own, ...pushes];
}

/** What was pushed is the record: document and images by their digests, part by part. */
const hasSameParts = (name: string): string => {
  const parts = (of: string): string => `$(grep -o '"parts":\\[{[^]]*\\]' ${of}.json | openssl dgst -sha256 -r)`;
  return `grep -q '"parts":\\[{' author.json && test "${parts("author")}" = "${parts(name)}"`;
};

const signatureOf = ({ receipt, signer, certificates }: Read): Signature => ({
  signer,
  certificates,
  org: receipt.from,
  signedAt: new Date(receipt.receivedAt),
  isMarked: false,
});

type SignedManifest = {
  readonly name: string;
  readonly whose: string;
  readonly manifest: Uint8Array;
  readonly signature: Uint8Array;
  /** When somebody else has signed that it was there. */
  readonly markedAt: string | null;
};

/** A manifest and its signature; the certificate that signed is the one that the manifest names. */
function signed(site: Site, { name, whose, manifest, signature, markedAt }: SignedManifest, at: Date): Exhibit {
  const { sender, to, created, purpose, requestDigest } = readManifest(manifest);
  const { signer, certificates } = verifySignedData(signature, manifestContentType, manifest);
  const signedAt = new Date(markedAt ?? created);
  const dated = { signer, certificates, org: sender.org, signedAt, isMarked: markedAt !== null };
  const { verify, says } = proofOf(site.identity, dated, at);
  return {
    name,
    says: `${whose} manifest: ${sender.org} to ${to.map(({ org }) => org).join(", ")} at ${created}: ${purpose}${says}`,
    files: { [`${name}.json`]: manifest, [`${name}.p7s`]: signature },
    commands: unless(verify.length === 0, [
      ...verify.map((each) => `${each} -in ${name}.p7s -content ${name}.json -signer ${name}.crt -out /dev/null`),
      `grep -q "\\"cert\\":\\"$(openssl x509 -in ${name}.crt -outform DER | openssl dgst -sha256 -r | cut -c1-64)\\"" ${name}.json`,
      `grep -q "$(openssl x509 -in ${name}.crt -outform DER | openssl dgst -sha256 -r | cut -c1-64)" houses.json`,
      ...(requestDigest ? [`openssl dgst -sha256 -r request-*.json | grep -q ${requestDigest}`] : []),
    ]),
  };
}

const unless = (isSo: boolean, commands: readonly string[]): readonly string[] => (isSo ? [] : commands);

function page({ id, author, manifestSha256 }: StoredRecord, exhibits: readonly Exhibit[], at: Date): string {
  return `# Evidence of record ${id}

Sealed by ${author}. SHA-256 of its manifest: ${manifestSha256}. Exported at ${at.toISOString()}.

| files | what is signed |
|---|---|
${exhibits.map(({ name, says }) => `| \`${name}.*\` | ${says} |`).join("\n")}
| \`trust.pem\` | the authorities that the exporting house trusts, and their revocation lists of that time |
| \`houses.json\` | SHA-256 of the signing certificates of each house, as the exporting house knows them |

Each command must end with 0. They verify at the time of the export, and where a certificate had ended by then, as of when it signed.
Whether one was revoked since the export, its authority says.

\`\`\`console
${exhibits.flatMap(({ commands }) => commands.map((each) => `$ ${each}`)).join("\n")}
\`\`\`

\`author.json\` lists the SHA-256 of the document (part 1) and of every mebibyte of each image (\`segs\`); \`cert\` is the SHA-256 of the
certificate that signed. A receipt names the manifests that it is for (\`names\`). Compare \`trust.pem\` with what the authorities publish.
`;
}

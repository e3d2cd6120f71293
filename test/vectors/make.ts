/**
 * Writes the envelopes that are not yet in this folder: `node test/vectors/make.ts`. They pin the format, so each is made once and
 * never again; a change that the old ones do not survive is a change of the format. The keys in them are used for nothing else.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCertificate } from "../../envelope/certificate.ts";
import { type Content, open, type Sealed, seal, signReceipt } from "../../envelope/index.ts";
import { a, b, c, ca, later, now, openingOf, ownerAmong, type Party, party, registry } from "../envelope/parties.ts";
import {
  bodyOf,
  clearParts,
  draftOf,
  flipped,
  inPieces,
  message,
  octets,
  record,
  sealed as sealedPart,
  sha256,
} from "../envelope/samples.ts";

/** One envelope and what becomes of it: `outcome` is "opened" or the code of the refusal. Octets in base64, digests in hex. */
export type Vector = {
  readonly about: string;
  readonly outcome: string;
  readonly now: string;
  readonly self: string;
  readonly purpose: "push" | "response";
  readonly decryptKey: string;
  readonly decryptCertificate: string;
  readonly anchor: string;
  readonly crl: string;
  /** Organisations by the SHA-256 of their signing certificates. */
  readonly owners: Readonly<Record<string, string>>;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly manifestSha256: string;
  /** SHA-256 of the clear text of parts 1, 5, 6 … */
  readonly parts: readonly string[];
  readonly markedAt: string | null;
};

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const ownersOf = (parties: readonly Party[]) =>
  Object.fromEntries(parties.map(({ org, signer }) => [readCertificate(signer.certificate).sha256, org]));

type Case = {
  readonly name: string;
  readonly about: string;
  readonly sealed: Sealed;
  readonly sender?: Party;
  readonly receiver?: Party;
  readonly change?: Partial<Vector>;
  readonly corrupt?: number;
};

async function write({ name, about, sealed, sender = a, receiver = b, change = {}, corrupt }: Case): Promise<void> {
  const file = join(import.meta.dirname, `envelope-${name}.json`);
  if (existsSync(file)) return;
  const body = await bodyOf(sealed);
  const purpose = change.purpose ?? "push";
  const partner = ownerAmong([sender, registry]);
  const opened = await open(sealed.headers, inPieces(body), openingOf(receiver, { purposes: [purpose], partner }));
  const vector: Vector = {
    about,
    outcome: "opened",
    now: now.toISOString(),
    self: receiver.org,
    purpose,
    decryptKey: receiver.pem.decryptKey,
    decryptCertificate: receiver.pem.decryptCertificate,
    anchor: base64(ca.certificate),
    crl: base64(ca.crl()),
    owners: ownersOf([sender, registry]),
    headers: sealed.headers,
    body: base64(corrupt === undefined ? body : flipped(body, body.length - corrupt)),
    manifestSha256: sealed.manifestSha256,
    parts: (await clearParts(opened)).map(sha256),
    markedAt: opened.origin?.markedAt ?? null,
    ...change,
  };
  writeFileSync(file, `${JSON.stringify(vector, null, 2)}\n`);
}

async function encrypted(bytes: Uint8Array): Promise<Pick<Content, "facts" | "cipher">> {
  const { facts, cipher } = await sealedPart(bytes, "segments");
  return { facts, cipher: () => inPieces(cipher) };
}

const content = await record(300, 1);
const rsa = party("hospital-r", ca, "rsa", "rsa");
const toBoth = [b, c].map(({ org, unwrapper }) => ({ org, certificate: unwrapper.certificate }));
const sealed = await seal(draftOf(content), a.signer, now);
await write({ name: "p256", about: "A document and two instances for a receiver with a P-256 key.", sealed });
await write({
  name: "rsa",
  about: "The same for a receiver with an RSA key.",
  sealed: await seal(
    draftOf(content, { to: [{ org: rsa.org, certificate: rsa.unwrapper.certificate }] }),
    a.signer,
    now,
  ),
  receiver: rsa,
});
for (const [name, kind] of [
  ["rsa-pss", "rsa"],
  ["ed25519", "ed25519"],
] as const) {
  const sender = party(a.org, ca, kind);
  await write({
    name,
    about: `The same signed with ${kind === "rsa" ? "RSA-PSS" : "Ed25519"}, for a receiver with a P-256 key.`,
    sealed: await seal(draftOf(content), sender.signer, now),
    sender,
  });
}
const slip: Content = { role: "attachment", type: "application/pdf", ...(await encrypted(octets(700))) };
await write({
  name: "attachment",
  about: "A document and one attachment.",
  sealed: await seal(draftOf([...content.slice(0, 1), slip]), a.signer, now),
});
await write({
  name: "second-receiver",
  about: "Two receivers; the second one opens.",
  sealed: await seal(draftOf(content, { to: toBoth }), a.signer, now),
  receiver: c,
});
await write({
  name: "changed",
  about: "One bit of the last part's last octet is changed.",
  sealed,
  corrupt: 75,
  change: { outcome: "ENVELOPE_NOT_OPENED" },
});
await write({
  name: "expired",
  about: "Opened two days after it was sealed for one.",
  sealed,
  change: { outcome: "ENVELOPE_EXPIRED", now: later(48 * 3600 * 1000).toISOString() },
});

const origin = await seal(draftOf(content, { purpose: "provide" }), a.signer, later(-24 * 3600 * 1000));
const receipt = {
  message,
  id: origin.id,
  manifestSha256: "0".repeat(64),
  from: registry.org,
  to: a.org,
  verdict: "stored",
  receivedAt: "2026-05-03T12:00:30Z",
  names: [origin.manifestSha256],
} as const;
const marks = [await signReceipt(receipt, registry.signer, later(-24 * 3600 * 1000 + 30_000))];
const readdressed = draftOf(content, {
  purpose: "response",
  origin: { manifest: origin.manifest, signature: origin.signature, marks },
});
await write({
  name: "readdressed",
  about: "A record under a new key, with its author's manifest and a registry's mark.",
  sealed: await seal(readdressed, a.signer, now),
  change: { purpose: "response" },
});

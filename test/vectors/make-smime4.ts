/**
 * Writes the S/MIME messages of this folder anew: `node test/vectors/make-smime4.ts`, with OpenSSL 3 on the PATH. As for those
 * of make.ts: they pin the format, are made once for each version of it, and their keys are used for nothing else.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oids } from "../../envelope/algorithms.ts";
import { readCertificate } from "../../envelope/certificate.ts";
import { openSmime4, type RawHeaders, readMessage, sealSmime4 } from "../../envelope/index.ts";
import { codeOf } from "../../errors.ts";
import { a, b, c, ca, dayMs, later, now, type Party, party, trust } from "../envelope/parties.ts";
import { bodyOf, clearParts, collect, draftOf, flipped, inPieces, record, sha256 } from "../envelope/samples.ts";
import { forge, honestEntity, smime4Opening, withValue } from "../envelope/smime4-forge.ts";

/** One message and what becomes of it: `outcome` is "opened" or the code of the refusal. Octets in base64, digests in hex. */
export type Smime4Vector = {
  readonly about: string;
  readonly outcome: string;
  readonly now: string;
  readonly self: string;
  readonly purpose: "push";
  readonly decryptKey: string;
  readonly decryptCertificate: string;
  readonly anchor: string;
  readonly crl: string;
  /** Organisations by the SHA-256 of their signing certificates. */
  readonly owners: Readonly<Record<string, string>>;
  readonly headers: RawHeaders;
  readonly body: string;
  /** SHA-256 of all that is signed; empty when it does not open. */
  readonly manifestSha256: string;
  /** SHA-256 of each part, by their numbers 1, 5, 6 …; none when it does not open. */
  readonly parts: readonly string[];
};

const crl = ca.crl([], later(300 * dayMs));
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const r = party("hospital-r", ca, "rsa", "rsa");
const e = party("hospital-e", ca, "ed25519");
const senders = [a, r, e];
const owners = Object.fromEntries(senders.map(({ org, signer }) => [readCertificate(signer.certificate).sha256, org]));

type Message = { readonly headers: RawHeaders; readonly body: Uint8Array };

async function write(
  name: string,
  about: string,
  { headers, body }: Message,
  { receiver = b, outcome = "opened", at = now }: { receiver?: Party; outcome?: string; at?: Date } = {},
): Promise<void> {
  const opening = smime4Opening(receiver, { now: at, trust: { ...trust, crls: [crl] } }, senders);
  const opened = await openSmime4(headers, inPieces(body), opening).catch((thrown) => codeOf(thrown));
  const became = typeof opened === "string" ? opened : "opened";
  if (became !== outcome) throw new Error(`${name} became ${became} instead of ${outcome}`);
  const vector: Smime4Vector = {
    about,
    outcome,
    now: at.toISOString(),
    self: receiver.org,
    purpose: "push",
    decryptKey: receiver.pem.decryptKey,
    decryptCertificate: receiver.pem.decryptCertificate,
    anchor: base64(ca.certificate),
    crl: base64(crl),
    owners,
    headers,
    body: base64(body),
    manifestSha256: typeof opened === "string" ? "" : opened.manifestSha256,
    parts: typeof opened === "string" ? [] : (await clearParts(opened)).map(sha256),
  };
  writeFileSync(join(import.meta.dirname, `smime4-${name}.json`), `${JSON.stringify(vector, null, 2)}\n`);
}

const content = await record(300, 1);
const to = (...receivers: readonly Party[]) =>
  receivers.map(({ org, unwrapper }) => ({ org, certificate: unwrapper.certificate }));

async function sealed(sender: Party, ...receivers: readonly Party[]): Promise<Message> {
  const envelope = await sealSmime4(draftOf(content, { sender: sender.org, to: to(...receivers) }), sender.signer, now);
  return { headers: envelope.headers, body: await bodyOf(envelope) };
}

const honest = await sealed(a, b);
await write("p256", "A document and two instances, ECDSA P-256, for a receiver with a P-256 key.", honest);
await write("rsa", "The same with RSA-PSS, for a receiver with an RSA key.", await sealed(r, r), { receiver: r });
await write("ed25519", "The same with Ed25519.", await sealed(e, b));
await write("second-receiver", "Two receivers, RSA and P-256; the second one opens.", await sealed(a, r, c), {
  receiver: c,
});
const changed = { ...honest, body: flipped(honest.body, honest.body.length - 1000) };
await write("changed", "One bit of the ciphertext is changed.", changed, { outcome: "ENVELOPE_NOT_OPENED" });
const trailing = { ...honest, body: Buffer.concat([honest.body, Uint8Array.of(0)]) };
await write("trailing", "One octet follows the message.", trailing, { outcome: "ENVELOPE_NOT_OPENED" });
await write("expired", "Opened two days after it was sealed for one.", honest, {
  outcome: "ENVELOPE_EXPIRED",
  at: later(2 * dayMs),
});
await write(
  "cbc",
  "GCM ciphertext presented as CBC EnvelopedData (RFC 9709).",
  await forge({ enveloped: () => ({ type: oids.envelopedData, cipherOid: "2.16.840.1.101.3.4.1.42", icv: [] }) }),
  { outcome: "ENVELOPE_NOT_OPENED" },
);
await write(
  "not-to-us",
  "Signed for another receiver, and encrypted for us by one who opened it.",
  await forge({ head: withValue("X-SEMRS-To", sha256(c.unwrapper.certificate)) }),
  { outcome: "ENVELOPE_NOT_OPENED" },
);
await write(
  "header-twice",
  "X-SEMRS-Purpose is there twice.",
  await forge({ head: (head) => `X-SEMRS-Purpose: push\r\n${head}` }),
  { outcome: "ENVELOPE_NOT_OPENED" },
);

const folder = mkdtempSync(join(tmpdir(), "semrs-vectors-"));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
  return join(folder, name);
};
const openssl = (input: Uint8Array, ...args: readonly string[]): Buffer =>
  execFileSync("openssl", ["cms", ...args], { input, stdio: ["pipe", "pipe", "inherit"] });

/** What `openssl cms -sign | openssl cms -encrypt` makes of the same record, signed by its clock. */
async function byOpenssl(
  sender: Party,
  receiver: Party,
  encrypt: readonly string[],
): Promise<{ message: Buffer; at: Date }> {
  const at = new Date();
  const draft = draftOf(content, { sender: sender.org, to: to(receiver) });
  const seconds = (when: Date) => `${when.toISOString().slice(0, 19)}Z`;
  const lines = (await honestEntity(draft, sender.signer)).toString("latin1");
  const values: Readonly<Record<string, string>> = {
    "X-EEC-Receiver": receiver.org,
    "X-EEC-AsymmetricAlg": receiver === r ? "rsaes-oaep-sha256" : "ecdh-p256-aes256-wrap",
    "X-EEC-SignAlg": sender === r ? "rsa-pkcs1-sha256" : "ecdsa-p256-sha256",
    "X-SEMRS-Created": seconds(at),
    "X-SEMRS-Expires": seconds(later(dayMs, at)),
    "X-SEMRS-To": sha256(receiver.unwrapper.certificate),
  };
  const entity = Object.entries(values).reduce((text, [name, value]) => withValue(name, value)(text), lines);
  const signer = ["-signer", file("s.crt", sender.pem.signCertificate), "-inkey", file("s.key", sender.pem.signKey)];
  const signed = openssl(Buffer.from(entity, "latin1"), "-sign", "-nodetach", "-binary", ...signer);
  const recipient = ["-recip", file("r.crt", receiver.pem.decryptCertificate)];
  return { message: openssl(signed, "-encrypt", "-aes-256-gcm", ...recipient, ...encrypt), at };
}

try {
  const oaep = ["-outform", "DER", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"];
  const der = await byOpenssl(r, r, oaep);
  const headers = honest.headers;
  const about = "Made by OpenSSL 3.0 in DER: RSA PKCS #1 v1.5 signature, RSAES-OAEP by issuer and serial number.";
  await write("openssl-der", about, { headers, body: der.message }, { receiver: r, at: der.at });
  const mail = await byOpenssl(a, b, ["-stream", "-keyopt", "ecdh_kdf_md:sha256"]);
  const read = await readMessage(inPieces(mail.message));
  const base64Mail = { headers: read.headers, body: await collect(read.body) };
  await write("openssl-mail", "Made by OpenSSL 3.0 as streamed S/MIME in base64: ECDSA, ECDH.", base64Mail, {
    at: mail.at,
  });
} finally {
  rmSync(folder, { recursive: true });
}

/** The process that is measured: `part MIB`, `small COUNT`, `prepare FOLDER MIB`, `readdress FOLDER`; prints what it did as JSON. */
import { generateKeyPairSync, type KeyPairKeyObjectResult, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { octetsOf, writeFileOf } from "../../commands/envelope/files.ts";
import { initPki } from "../../commands/pki/index.ts";
import { derToPem, pemToDer } from "../../envelope/certificate.ts";
import { type Content, type Draft, type PartFacts, seal, sealPart } from "../../envelope/index.ts";
import { issueCertificate } from "../../envelope/issue.ts";
import { type Signer, signerFrom } from "../../envelope/keys.ts";

const mebibyte = 1 << 20;
const [verb = "", first = "", second = ""] = process.argv.slice(2);

async function* mebibytes(count: number): AsyncGenerator<Uint8Array> {
  const piece = randomBytes(mebibyte);
  for (let n = 0; n < count; n += 1) yield piece;
}

async function* each(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const draftOf = (content: readonly Content[], certificate: Uint8Array, change: Partial<Draft> = {}): Draft => ({
  purpose: "provide",
  message: "0".repeat(32),
  sender: "a",
  messageType: "116",
  to: [{ org: "a", certificate }],
  content,
  ...change,
});

/** Rate and CPU of some work; a rate is of one core, so by CPU seconds, whatever threads the work used. */
async function measured(units: number, work: () => Promise<void>): Promise<void> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  const cpuMs = (user + system) / 1000;
  process.stdout.write(JSON.stringify({ units, seconds: cpuMs / 1000, cpuMs }));
}

async function reportOf(clear: Uint8Array): Promise<Content> {
  const part = sealPart(each(clear), "whole");
  const ciphertext = Buffer.concat(await Array.fromAsync(part.cipher));
  return { role: "cda", type: "text/xml", facts: part.facts(), cipher: () => each(ciphertext) };
}

function issued(profile: "sign" | "decrypt", { publicKey, privateKey }: KeyPairKeyObjectResult) {
  const now = new Date();
  const request = {
    subject: { commonName: profile, organization: profile },
    publicKey,
    profile,
    serial: Uint8Array.of(1),
    notBefore: now,
    notAfter: new Date(now.getTime() + 3600_000),
  };
  const key = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
  return { key, certificate: issueCertificate(request, { own: privateKey }) };
}

type Kept = { readonly facts: PartFacts; readonly manifest: Uint8Array; readonly signature: Uint8Array };
const unhexed = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && "hex" in value ? Buffer.from(String(value.hex), "hex") : value;

const signerIn = (folder: string): Signer =>
  signerFrom(
    readFileSync(join(folder, "pki/a/sign.key"), "utf8"),
    readFileSync(join(folder, "pki/a/sign.crt"), "utf8"),
  );
const receiverIn = (folder: string, org: string): Uint8Array =>
  pemToDer(readFileSync(join(folder, `pki/${org}/decrypt.crt`), "utf8"))[0] ?? new Uint8Array();

const imageIn = (folder: string, facts: PartFacts): Content => ({
  role: "dicom",
  type: "application/dicom",
  sop: "1.2.3",
  facts,
  // One chunk is written while the next is read; a third is what the writer may still hold.
  cipher: () => octetsOf(join(folder, "blob"), 0, facts.size, { buffers: 3, bytes: mebibyte / 2 }),
});

const verbs: Readonly<Record<string, () => Promise<void>>> = {
  part: () =>
    measured(Number(first), async () => {
      const { cipher, facts } = sealPart(mebibytes(Number(first)), "segments");
      let size = 0;
      for await (const piece of cipher) size += piece.length;
      if (size !== facts().size) throw new Error("not every octet was sealed");
    }),
  small: async () => {
    const { key, certificate } = issued("sign", generateKeyPairSync("ec", { namedCurve: "prime256v1" }));
    const signer = signerFrom(key, derToPem(certificate, "CERTIFICATE"));
    const recipient = issued("decrypt", generateKeyPairSync("rsa", { modulusLength: 3072 })).certificate;
    const document = Buffer.alloc(30 * 1024, "<entry/>");
    const one = async (): Promise<void> => {
      const content = [await reportOf(document)];
      const sealed = await seal(draftOf(content, recipient), signer, new Date());
      let size = 0;
      for await (const piece of sealed.body()) size += piece.length;
      if (size !== sealed.contentLength) throw new Error("an envelope that is not whole");
    };
    for (let n = 0; n < 100; n += 1) await one();
    await measured(Number(first), async () => {
      for (let n = 0; n < Number(first); n += 1) await one();
    });
  },
  prepare: async () => {
    if (!existsSync(join(first, "pki"))) await initPki(join(first, "pki"), ["a", "b"], { now: new Date() });
    const { cipher, facts } = sealPart(mebibytes(Number(second)), "segments");
    await writeFileOf(join(first, "blob"), cipher, 0o600);
    const report = await reportOf(Buffer.from("<ClinicalDocument/>"));
    const draft = draftOf([report, imageIn(first, facts())], receiverIn(first, "a"));
    const { manifest, signature } = await seal(draft, signerIn(first), new Date());
    const ciphertext = Buffer.concat(await Array.fromAsync(report.cipher()));
    writeFileSync(
      join(first, "kept.json"),
      JSON.stringify({ facts: facts(), manifest, signature, report: report.facts, ciphertext }, hexedAll),
    );
  },
  readdress: async () => {
    const kept = JSON.parse(readFileSync(join(first, "kept.json"), "utf8"), unhexed) as Kept & {
      readonly report: PartFacts;
      readonly ciphertext: Uint8Array;
    };
    const started = performance.now();
    const before = process.cpuUsage();
    const { facts, manifest, signature, report, ciphertext } = kept;
    const document: Content = { role: "cda", type: "text/xml", facts: report, cipher: () => each(ciphertext) };
    const sealed = await seal(
      draftOf([document, imageIn(first, facts)], receiverIn(first, "b"), {
        purpose: "response",
        to: [{ org: "b", certificate: receiverIn(first, "b") }],
        inReplyTo: "0".repeat(32),
        requestDigest: "0".repeat(64),
        origin: { manifest, signature, marks: [] },
      }),
      signerIn(first),
      new Date(),
    );
    await writeFileOf(join(first, "envelope"), sealed.body(), 0o600);
    const { user, system } = process.cpuUsage(before);
    const seconds = (performance.now() - started) / 1000;
    process.stdout.write(JSON.stringify({ units: facts.size / mebibyte, seconds, cpuMs: (user + system) / 1000 }));
  },
};

/** Buffers turn themselves into objects before a replacer sees them: they are made plain first. */
function hexedAll(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const own = this[key];
  return own instanceof Uint8Array ? { hex: Buffer.from(own).toString("hex") } : value;
}

await verbs[verb]?.();

/** The process that is measured: seals FOLDER/clear to FOLDER/sealed, or opens it to FOLDER/opened, through a sealed blob as a house does. */
import { createReadStream, createWriteStream, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { open, openCipher, seal, sealPart } from "../../envelope/index.ts";
import { signerFrom, unwrapperFrom } from "../../envelope/keys.ts";

const [verb = "", folder = ""] = process.argv.slice(2);
const at = (name: string): string => join(folder, name);
const pem = (name: string): string => readFileSync(at(`pki/${name}`), "utf8");
const der = (name: string): Uint8Array => pemToDer(pem(name))[0] ?? new Uint8Array();
const readBytes = 1 << 20;

const verbs: Readonly<Record<string, () => Promise<void>>> = {
  seal: async () => {
    const part = sealPart(
      createReadStream(at("clear"), { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>,
      "segments",
    );
    await pipeline(Readable.from(part.cipher), createWriteStream(at("blob")));
    const image = {
      role: "dicom",
      type: "application/dicom",
      sop: "1.2.3",
      facts: part.facts(),
      cipher: () => createReadStream(at("blob"), { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>,
    } as const;
    const report = sealPart(each(Buffer.from("<ClinicalDocument/>")), "whole");
    const ciphertext = await collected(report.cipher);
    const document = { role: "cda", type: "text/xml", facts: report.facts(), cipher: () => each(ciphertext) } as const;
    const sealed = await seal(
      {
        purpose: "push",
        message: "0".repeat(32),
        sender: "a",
        messageType: "116",
        to: [{ org: "b", certificate: der("b/decrypt.crt") }],
        content: [document, image],
      },
      signerFrom(pem("a/sign.key"), pem("a/sign.crt")),
      new Date(),
    );
    writeFileSync(at("headers"), JSON.stringify(sealed.headers));
    await pipeline(Readable.from(sealed.body()), createWriteStream(at("sealed")));
  },
  open: async () => {
    const sha256 = (name: string): string => readCertificate(der(name)).sha256;
    const opened = await open(
      JSON.parse(readFileSync(at("headers"), "utf8")),
      createReadStream(at("sealed"), { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>,
      {
        self: "b",
        unwrappers: [unwrapperFrom(pem("b/decrypt.key"), pem("b/decrypt.crt"))],
        trust: { anchors: [der("ca.crt")], crls: pemToDer(pem("ca.crl"), "X509 CRL"), revocation: "require" },
        now: new Date(),
        purposes: ["push"],
        peer: "a",
        partner: (certificate: string) =>
          certificate === sha256("a/sign.crt") ? { org: "a", profiles: ["semrs-2"] } : undefined,
        hasSeen: () => false,
      } as never,
    );
    for await (const part of opened.parts()) {
      if (part.entry.role !== "dicom") {
        for await (const _ of part.cipher);
        continue;
      }
      await pipeline(Readable.from(part.cipher), createWriteStream(at("blob2")));
      const cipher = createReadStream(at("blob2"), { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>;
      await pipeline(Readable.from(openCipher(cipher, part.facts())), createWriteStream(at("opened")));
    }
  },
};
async function* each(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function collected(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

await verbs[verb]?.();

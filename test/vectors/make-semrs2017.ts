/**
 * Writes the semrs-2017 envelopes of this folder anew: `node test/vectors/make-semrs2017.ts`. As with the others they pin the
 * format, are made once for each version of it, and the keys in them are used for nothing else.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type KeyTransport, open2017, seal2017 } from "../../envelope/index.ts";
import { codeOf } from "../../errors.ts";
import { bodyOf2017, by, clear2017, draft2017, from, hospitalA, hospitalB, opening2017 } from "../envelope/legacy.ts";
import { ca, now } from "../envelope/parties.ts";
import { flipped, inPieces, sha256 } from "../envelope/samples.ts";

/** One envelope and what becomes of it: `outcome` is "opened" or the code of the refusal. Octets in base64, digests in hex. */
export type Vector2017 = {
  readonly about: string;
  readonly outcome: string;
  readonly now: string;
  readonly self: string;
  /** Whose TLS connection it comes over. */
  readonly peer: string;
  readonly transport: KeyTransport;
  readonly decryptKey: string;
  readonly decryptCertificate: string;
  readonly signCertificate: string;
  readonly anchor: string;
  readonly crl: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly messageType: string;
  /** What is reserved before anything is decrypted; of the key only where it unwraps. */
  readonly keySha256: string;
  readonly envelopeSha256: string;
  /** SHA-256 of the clear text of parts 1, 5, 6 …, if it opens. */
  readonly parts: readonly string[];
};

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const sizes = [300, 16];

type Case = {
  readonly name: string;
  readonly about: string;
  readonly transport: KeyTransport;
  readonly change?: (body: Buffer) => Buffer;
};

async function write({ name, about, transport, change = (body) => body }: Case): Promise<void> {
  const envelope = await seal2017(draft2017(sizes, by(transport)), hospitalA.signer);
  const body = change(await bodyOf2017(envelope));
  let [keySha256, envelopeSha256] = ["", ""];
  const opening = opening2017({
    ...from(transport),
    reserve: async (...reserved) => {
      [keySha256, envelopeSha256] = reserved;
      return "fresh";
    },
  });
  const opened = await open2017(envelope.headers, inPieces(body), opening).catch(codeOf);
  const isOpened = typeof opened === "object" && opened.outcome === "opened";
  const vector: Vector2017 = {
    about,
    outcome: isOpened ? "opened" : String(opened),
    now: now.toISOString(),
    self: hospitalB.org,
    peer: hospitalA.org,
    transport,
    decryptKey: hospitalB.pem.decryptKey,
    decryptCertificate: hospitalB.pem.decryptCertificate,
    signCertificate: hospitalA.pem.signCertificate,
    anchor: base64(ca.certificate),
    crl: base64(ca.crl()),
    headers: envelope.headers,
    body: base64(body),
    messageType: "116",
    keySha256,
    envelopeSha256,
    parts: isOpened ? (await clear2017(opened)).map(sha256) : [],
  };
  writeFileSync(join(import.meta.dirname, `semrs2017-${name}.json`), `${JSON.stringify(vector, null, 2)}\n`);
}

/** Where the last block of the last instance begins. */
const closingBytes = "\r\n--semrs-0123456789abcdef0123456789abcdef--\r\n".length;
const lastBlockAt = (body: Buffer): number => body.length - closingBytes - 16;

await write({
  name: "pkcs1",
  about: "A document and two instances, the key under RSA PKCS#1 v1.5.",
  transport: "rsa-pkcs1",
});
await write({ name: "oaep", about: "The key under OAEP, SHA-256 throughout.", transport: "rsa-oaep" });
await write({
  name: "oaep-java",
  about: "The key under OAEP as Java does it, MGF1 with SHA-1.",
  transport: "rsa-oaep-java",
});
await write({
  name: "padding",
  about: "The last instance's last block is changed, so that its padding is wrong.",
  transport: "rsa-oaep",
  change: (body) => flipped(body, lastBlockAt(body) - 1),
});
await write({
  name: "document",
  about: "One bit of the document is changed.",
  transport: "rsa-oaep",
  change: (body) => flipped(body, body.indexOf("\r\n\r\n") + 4 + 3),
});
await write({
  name: "unsigned-image",
  about: "One bit of the IV of the last instance is changed: it opens, to another image, since nothing signs it.",
  transport: "rsa-oaep",
  change: (body) => flipped(body, lastBlockAt(body) - 32),
});

/** A partner with nothing but OpenSSL 3 makes S/MIME messages that we open, and opens and verifies ours, octet for octet. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSmime4, type RawHeaders, readMessage, type Smime4Opening, sealSmime4 } from "../../envelope/index.ts";
import { a, b, ca, now, party } from "../envelope/parties.ts";
import { member, openingOf, people, type Sides } from "../envelope/people.ts";
import {
  bodyOf,
  cda,
  clearParts,
  draftOf,
  flipped,
  inPieces,
  mebibyte,
  octets,
  record,
  sha256,
} from "../envelope/samples.ts";
import { headers as derHeaders, memorySpool } from "../envelope/smime4-forge.ts";
import { peer } from "../peers.ts";
import { file, scratch } from "./scratch.ts";

scratch();

const openssl = peer("openssl");
const run = (input: Uint8Array, ...args: readonly string[]): Buffer =>
  execFileSync("openssl", args, { input, stdio: ["pipe", "pipe", "ignore"], maxBuffer: 64 * mebibyte });

const image = Buffer.from(octets(200_000, 7));

/** What a hospital writes by hand: two parts, binary, with its own idea of boundaries and file names. */
function entity(said: { readonly signAlg: string; readonly asymmetricAlg: string; readonly to: Uint8Array }): Buffer {
  const created = new Date();
  const seconds = (at: Date) => `${at.toISOString().slice(0, 19)}Z`;
  const values = {
    "X-EEC-Sender": "a",
    "X-EEC-Receiver": "b",
    "X-EEC-SymmetricAlg": "aes-256-gcm",
    "X-EEC-AsymmetricAlg": said.asymmetricAlg,
    "X-EEC-DistAlg": "sha-256",
    "X-EEC-SignAlg": said.signAlg,
    "X-EEC-BodypartCnt": "2",
    "X-EEC-HeaderCnt": "9",
    "X-EEC-MessageType": "116",
    "X-SEMRS-Id": `${"0".repeat(31)}1`,
    "X-SEMRS-Message": `${"0".repeat(31)}2`,
    "X-SEMRS-Created": seconds(created),
    "X-SEMRS-Expires": seconds(new Date(created.getTime() + 3600_000)),
    "X-SEMRS-Purpose": "push",
    "X-SEMRS-To": sha256(said.to),
    "X-SEMRS-In-Reply-To": "none",
    "X-SEMRS-Request-Digest": "none",
    Subject: "a record",
    "Content-Type": "multipart/mixed; boundary=here",
  };
  const head = Object.entries(values).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`${head.join("")}\r\n--here\r\nContent-Type: text/xml; charset=utf-8\r\n\r\n`),
    cda,
    Buffer.from("\r\n--here\r\nContent-Type: application/dicom\r\nContent-Transfer-Encoding: binary\r\n"),
    Buffer.from('Content-Disposition: attachment; filename="1.dcm"\r\nX-SEMRS-Sop: 1.2.3\r\n\r\n'),
    image,
    Buffer.from("\r\n--here--\r\n"),
  ]);
}

const opening = (sides: Sides): Smime4Opening => ({
  ...openingOf(sides),
  partner: (certificate) => {
    const found = sides.partner(certificate);
    return found && { ...found, profiles: ["smime-4"] };
  },
  spool: memorySpool(),
});

const oaep = ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"];
const kdf = ["-keyopt", "ecdh_kdf_md:sha256"];
const pss = ["-keyopt", "rsa_padding_mode:pss"];

const signers = {
  "ECDSA P-256": { rsa: false, signAlg: "ecdsa-p256-sha256", options: [] },
  "ECDSA P-256 as CAdES, by key identifier": {
    rsa: false,
    signAlg: "ecdsa-p256-sha256",
    options: ["-cades", "-keyid"],
  },
  "RSA as it is by default (PKCS #1 v1.5)": { rsa: true, signAlg: "rsa-pkcs1-sha256", options: [] },
  "RSA-PSS with the longest salt": { rsa: true, signAlg: "rsa-pss-sha256", options: pss },
  "RSA-PSS with a salt of 32": {
    rsa: true,
    signAlg: "rsa-pss-sha256",
    options: [...pss, "-keyopt", "rsa_pss_saltlen:digest"],
  },
} as const;

const forms = {
  "S/MIME": [],
  "S/MIME, streamed": ["-stream"],
  "S/MIME, with line ends as they come": ["-binary"],
  DER: ["-outform", "DER"],
  "DER, streamed": ["-outform", "DER", "-stream"],
} as const;

describe.skipIf(!openssl.available)(`OpenSSL ${openssl.reason}`, () => {
  const both = Promise.all([people(), people({ rsa: true })]);
  const sidesFor = async (rsa: boolean): Promise<Sides> => (await both)[rsa ? 1 : 0];

  /** openssl cms -sign | openssl cms -encrypt, as its manual shows it. */
  async function made(
    { rsa, signAlg, options }: (typeof signers)[keyof typeof signers],
    encrypt: readonly string[],
    inner: readonly string[] = [],
  ) {
    const sides = await sidesFor(rsa);
    const key = ["-signer", join(sides.folder, "a/sign.crt"), "-inkey", join(sides.folder, "a/sign.key")];
    const clear = entity({
      signAlg,
      asymmetricAlg: rsa ? "rsaes-oaep-sha256" : "ecdh-p256-aes256-wrap",
      to: member(sides.unwrappers, "b").certificate,
    });
    const signed = run(clear, "cms", "-sign", "-nodetach", "-binary", ...key, ...options, ...inner);
    const recipient = ["-recip", join(sides.folder, "b/decrypt.crt"), ...(rsa ? oaep : kdf)];
    return { sides, message: run(signed, "cms", "-encrypt", "-aes-256-gcm", ...encrypt, ...recipient) };
  }

  async function openedFrom(sides: Sides, message: Uint8Array, isDer: boolean) {
    const { headers, body } = isDer
      ? { headers: derHeaders as RawHeaders, body: inPieces(message, 5000) }
      : await readMessage(inPieces(message, 5000));
    const opened = await openSmime4(headers, body, opening(sides));
    return { opened, parts: await clearParts(opened) };
  }

  describe.each(Object.entries(signers))("as a sender with %s", (_, signer) => {
    test.each(Object.entries(forms))("makes %s that we open", async (_, options) => {
      const { sides, message } = await made(signer, options);
      const isDer = options.some((option) => option === "DER");
      const { opened, parts } = await openedFrom(sides, message, isDer);
      expect(opened.org).toBe("a");
      expect(opened.manifest).toMatchObject({ headers: { "X-EEC-SignAlg": signer.signAlg } });
      expect(parts.map((part) => sha256(part))).toEqual([sha256(cda), sha256(image)]);
    });

    test("names a recipient by key identifier, and streams its signature where it can", async () => {
      // OpenSSL 3.0 signs nothing with -keyopt and -stream together.
      const { sides, message } = await made(signer, ["-keyid"], signer.options[0] === "-keyopt" ? [] : ["-stream"]);
      expect((await openedFrom(sides, message, false)).parts).toHaveLength(2);
    });
  });

  test("is refused where it is left to its defaults for keys, and where it does not authenticate", async () => {
    for (const rsa of [false, true]) {
      const sides = await sidesFor(rsa);
      const recipient = join(sides.folder, "b/decrypt.crt");
      for (const cipher of ["-aes-256-gcm", "-aes-256-cbc", "-aes-128-gcm"]) {
        const options = cipher === "-aes-256-gcm" ? [] : rsa ? oaep : kdf;
        const args = ["cms", "-encrypt", cipher, "-outform", "DER", "-recip", recipient, ...options];
        const refusal = openSmime4(derHeaders, inPieces(run(Buffer.from("x"), ...args)), opening(sides));
        await expect(refusal, `${cipher} ${rsa}`).rejects.toMatchObject({
          code: "ENVELOPE_NOT_OPENED",
          message: expect.stringMatching(/^CMS: /),
        });
      }
    }
  });

  const at = String(Math.floor(now.getTime() / 1000));
  const receivers = { "ECDH P-256": b, "RSAES-OAEP": party("hospital-r", ca, "rsa", "rsa") };
  const kinds = { "ECDSA P-256": a, "RSA-PSS": party("hospital-d", ca, "rsa") };

  describe.each(Object.entries(receivers))("as a receiver with %s", (_, receiver) => {
    const key = () => [
      ...["-recip", file("b.crt", receiver.pem.decryptCertificate)],
      ...["-inkey", file("b.key", receiver.pem.decryptKey)],
    ];
    const decrypt = (body: Uint8Array) =>
      spawnSync("openssl", ["cms", "-decrypt", "-inform", "DER", "-out", file("inner.eml"), ...key()], {
        input: body,
      }).status;

    test.each(Object.entries(kinds))("decrypts and verifies what we sign with %s", async (_, signer) => {
      const content = await record(3 * mebibyte, mebibyte + 777);
      const to = [{ org: receiver.org, certificate: receiver.unwrapper.certificate }];
      const envelope = await sealSmime4(draftOf(content, { sender: signer.org, to }), signer.signer, now);
      const body = await bodyOf(envelope);
      expect(decrypt(body)).toBe(0);
      const trusted = ["-CAfile", file("ca.crt", ca.pem), "-attime", at];
      const verified = run(readFileSync(file("inner.eml")), "cms", "-verify", "-cades", ...trusted);
      expect(sha256(verified)).toBe(envelope.manifestSha256);
      expect(verified.subarray(0, envelope.manifest.length).equals(envelope.manifest)).toBe(true);
      for (const part of [cda, octets(3 * mebibyte, 2), octets(mebibyte + 777, 3)])
        expect(verified.includes(Buffer.from(part))).toBe(true);
      expect(decrypt(flipped(body, 2 * mebibyte))).not.toBe(0);
    });
  });
});

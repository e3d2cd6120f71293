/** `semrs seal`, `open`, `inspect` on files and pipes: byte for byte, and nothing at all when it is refused. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { initPki, revoke } from "../../commands/pki/index.ts";
import { readMessage } from "../../envelope/message.ts";
import { documents } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { root, semrs } from "./cli.ts";

const cwd = mkdtempSync(join(tmpdir(), "semrs-envelope-"));
const at = (name: string): string => join(cwd, name);
const images = [1, 2].map((n) => readFileSync(join(root, `examples/study/ct-${n}.dcm`)));
const run = (...args: string[]) => semrs(args, { cwd });
const sealing = [
  "seal",
  "--sender",
  "DIR/hospital-a",
  "--to",
  "DIR/hospital-b",
  "--message-type",
  "116",
  "--document",
  "report.xml",
  "--image",
  "a.dcm",
  "--image",
  "b.dcm",
];
const opening = ["open", "--receiver", "DIR/hospital-b", "--trust", "DIR/ca.crt"];

beforeAll(async () => {
  await initPki(at("DIR"), ["hospital-a", "hospital-b", "hospital-c"], { now: new Date() });
  writeFileSync(at("report.xml"), documents["116"]);
  for (const [index, bytes] of images.entries()) writeFileSync(at(`${"ab"[index]}.dcm`), bytes);
  expect(await run(...sealing, "--profile", "semrs-2", "--out", "record.eml")).toMatchObject({
    exit: 0,
    err: expect.stringContaining("record.eml: 6 parts for hospital-b"),
  });
});

/** What a folder of an opened record holds. */
const opened = (folder: string): readonly Buffer[] =>
  ["document.xml", "image-0001.dcm", "image-0002.dcm"].map((name) => readFileSync(at(`${folder}/${name}`)));
const clear = [documents["116"], ...images].map((bytes) => Buffer.from(bytes));
let folders = 0;
const fresh = (): string => {
  folders += 1;
  return `opened-${folders}`;
};

describe("what was sealed opens, byte for byte", () => {
  test("from a file into a folder, with its manifest", async () => {
    const out = fresh();
    const ran = await run(...opening, "--out", out, "record.eml");
    expect(ran).toMatchObject({
      exit: 0,
      out: `${out}/document.xml\n${out}/image-0001.dcm\n${out}/image-0002.dcm\n${out}/manifest.json\n`,
    });
    expect(ran.err).toMatch(/signed by hospital-a, .*every digest and tag verified/);
    expect(opened(out)).toEqual(clear);
    expect(JSON.parse(readFileSync(at(`${out}/manifest.json`), "utf8"))).toMatchObject({
      profile: "semrs-2",
      purpose: "push",
      sender: { org: "hospital-a" },
    });
  });
  test("through pipes on both sides", async () => {
    const piped = await semrs([...sealing.map((arg) => (arg === "report.xml" ? "-" : arg)), "--out", "piped.eml"], {
      cwd,
      input: documents["116"],
    });
    expect(piped.exit).toBe(0);
    const out = fresh();
    expect((await semrs([...opening, "--out", out], { cwd, input: readFileSync(at("piped.eml")) })).exit).toBe(0);
    expect(opened(out)).toEqual(clear);
  });
  test("for several receivers, by certificate, with keys by file, and an attachment", async () => {
    writeFileSync(at("note.pdf"), "%PDF-1.4 note");
    const sealed = await run(
      "seal",
      "--key",
      "DIR/hospital-a/sign.key",
      "--certificate",
      "DIR/hospital-a/sign.crt",
      "--to",
      "DIR/hospital-b/decrypt.crt",
      "--to",
      "DIR/hospital-c",
      "--message-type",
      "116",
      "--document",
      "report.xml",
      "--attachment",
      "note.pdf",
      "--out",
      "two.eml",
    );
    expect(sealed.exit).toBe(0);
    for (const house of ["hospital-b", "hospital-c"]) {
      const out = fresh();
      const keys = ["--key", `DIR/${house}/decrypt.key`, "--certificate", `DIR/${house}/decrypt.crt`];
      const ran = await run("open", ...keys, "--trust", "DIR/ca.crt", "--json", "--out", out, "two.eml");
      expect(JSON.parse(ran.out)).toMatchObject({
        from: "hospital-a",
        purpose: "push",
        files: ["document.xml", "attachment-0001.bin", "manifest.json"],
      });
      expect(readFileSync(at(`${out}/attachment-0001.bin`), "utf8")).toBe("%PDF-1.4 note");
    }
  });
  test("with RSA keys", async () => {
    await initPki(at("RSA"), ["hospital-a", "hospital-b"], { now: new Date(), rsa: true });
    const rsa = (args: readonly string[]): string[] => args.map((arg) => arg.replace("DIR", "RSA"));
    expect((await run(...rsa(sealing), "--out", "rsa.eml")).exit).toBe(0);
    const out = fresh();
    expect((await run(...rsa(opening), "--out", out, "rsa.eml")).exit).toBe(0);
    expect(opened(out)).toEqual(clear);
  });
  test("after the decryption key was renewed, with the key before it", async () => {
    cpSync(at("DIR"), at("ROTATED"), { recursive: true });
    for (const end of ["key", "crt"])
      renameSync(at(`ROTATED/hospital-b/decrypt.${end}`), at(`ROTATED/hospital-b/decrypt.previous.${end}`));
    await run("pki", "csr", "ROTATED/hospital-b", "--site", "hospital-b");
    await run("pki", "issue", "ROTATED", "ROTATED/hospital-b/decrypt.csr");
    const out = fresh();
    const rotated = ["open", "--receiver", "ROTATED/hospital-b", "--trust", "ROTATED/ca.crt", "--out", out];
    expect((await run(...rotated, "record.eml")).exit).toBe(0);
    expect(opened(out)).toEqual(clear);
    for (const end of ["key", "crt"]) rmSync(at(`ROTATED/hospital-b/decrypt.previous.${end}`));
    rmSync(at(out), { recursive: true });
    expect(await run(...rotated, "record.eml")).toMatchObject({
      exit: 65,
      err: expect.stringContaining("for a key of ours"),
    });
  });
});

describe("other profiles", () => {
  test("smime-4: sealed, opened, and a changed octet refused", async () => {
    expect(await run(...sealing, "--profile", "smime-4", "--out", "record.smime")).toMatchObject({
      exit: 0,
      err: expect.stringContaining("one S/MIME message for hospital-b"),
    });
    const out = fresh();
    expect((await run(...opening, "--out", out, "record.smime")).exit).toBe(0);
    expect(opened(out)).toEqual(clear);
    expect(JSON.parse(readFileSync(at(`${out}/manifest.json`), "utf8"))).toMatchObject({ profile: "smime-4" });
    const bytes = readFileSync(at("record.smime"));
    bytes[bytes.length - 2000] = (bytes[bytes.length - 2000] ?? 0) ^ 1;
    writeFileSync(at("changed.smime"), bytes);
    expect((await run(...opening, "--out", fresh(), "changed.smime")).exit).toBe(65);
  });
  test("smime-4: what openssl cms signs and encrypts opens, as a file with folded headers", async (context) => {
    if (!peer("openssl").available) return context.skip();
    const record = await recordOf("record.smime");
    writeFileSync(at("record.txt"), record);
    const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd, stdio: "ignore" });
    const keys = (name: string): string[] => ["-signer", `DIR/${name}.crt`, "-inkey", `DIR/${name}.key`];
    openssl(
      "cms",
      "-sign",
      "-nodetach",
      "-binary",
      "-in",
      "record.txt",
      ...keys("hospital-a/sign"),
      "-out",
      "signed.eml",
    );
    openssl(
      "cms",
      "-encrypt",
      "-aes-256-gcm",
      "-in",
      "signed.eml",
      "-recip",
      "DIR/hospital-b/decrypt.crt",
      "-keyopt",
      "ecdh_kdf_md:sha256",
      "-out",
      "openssl.eml",
    );
    const out = fresh();
    expect(await run(...opening, "--out", out, "openssl.eml")).toMatchObject({ exit: 0 });
    expect(opened(out)).toEqual(clear);
  });
  test("semrs-2017: for a partner that is named, with keys of its own; images told as signed by nobody", async () => {
    await initPki(at("LEGACY"), ["hospital-a", "hospital-b"], { now: new Date(), legacy: true });
    const legacy = sealing.map((arg) => arg.replace("DIR", "LEGACY"));
    for (const transport of ["rsa-oaep", "rsa-pkcs1"]) {
      const sealed = await run(...legacy, "--profile", "semrs-2017", "--transport", transport, "--out", "legacy.eml");
      expect(sealed).toMatchObject({ exit: 0, err: expect.stringContaining("images and headers are not signed") });
      const out = fresh();
      const from = ["--from", "LEGACY/hospital-a", "--transport", transport];
      const keys = ["open", "--receiver", "LEGACY/hospital-b", "--trust", "LEGACY/ca.crt"];
      const ran = await run(...keys, ...from, "--out", out, "legacy.eml");
      expect(ran).toMatchObject({ exit: 0, err: expect.stringContaining("the 2 images are signed by nobody") });
      expect(opened(out)).toEqual(clear);
      expect((await run(...keys, "--out", fresh(), "legacy.eml")).exit).toBe(64);
    }
    expect(JSON.parse((await run("inspect", "--json", "legacy.eml")).out)).toMatchObject({ profile: "semrs-2017" });
  });
});

/** What is signed in an S/MIME message of ours, as OpenSSL decrypts and verifies it. */
async function recordOf(name: string): Promise<Buffer> {
  const openssl = (...args: string[]): Buffer =>
    execFileSync("openssl", args, { cwd, stdio: ["ignore", "pipe", "ignore"] });
  const { body } = await readMessage(createReadStream(at(name)) as AsyncIterable<Uint8Array>);
  writeFileSync(at("body.der"), Buffer.concat(await Array.fromAsync(body)));
  openssl(
    "cms",
    "-decrypt",
    "-inform",
    "DER",
    "-in",
    "body.der",
    "-recip",
    "DIR/hospital-b/decrypt.crt",
    "-inkey",
    "DIR/hospital-b/decrypt.key",
    "-out",
    "verified.eml",
  );
  return openssl("cms", "-verify", "-in", "verified.eml", "-CAfile", "DIR/ca.crt", "-purpose", "any");
}

describe("what is refused leaves nothing behind: exit 65", () => {
  const refused = async (file: string, args = opening): Promise<string> => {
    const out = fresh();
    const before = readdirSync(cwd);
    const { exit, err } = await run(...args, "--out", out, file);
    expect(exit).toBe(65);
    expect(readdirSync(cwd)).toEqual(before);
    expect(existsSync(at(out))).toBe(false);
    return err;
  };
  test("one changed octet in the last image", async () => {
    const bytes = readFileSync(at("record.eml"));
    const place = bytes.length - 400;
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    writeFileSync(at("changed.eml"), bytes);
    expect(await refused("changed.eml")).toMatch(/a digest differs from what was signed/);
  });
  test("the end is missing", async () => {
    writeFileSync(at("cut.eml"), readFileSync(at("record.eml")).subarray(0, -600));
    await refused("cut.eml");
  });
  test("for another house", async () => {
    expect(await refused("record.eml", ["open", "--receiver", "DIR/hospital-c", "--trust", "DIR/ca.crt"])).toMatch(
      /for a key of ours/,
    );
  });
  test("signed under an authority that is not trusted", async () => {
    await initPki(at("OTHER"), ["hospital-z"], { now: new Date() });
    expect(await refused("record.eml", ["open", "--receiver", "DIR/hospital-b", "--trust", "OTHER/ca.crt"])).toMatch(
      /signature/,
    );
  });
  test("signed with a certificate that is revoked by now", async () => {
    cpSync(at("DIR"), at("REVOKED"), { recursive: true });
    revoke(at("REVOKED"), readFileSync(at("DIR/hospital-a/sign.crt"), "utf8"), new Date());
    expect(await refused("record.eml", ["open", "--receiver", "DIR/hospital-b", "--trust", "REVOKED/ca.crt"])).toMatch(
      /revoked/,
    );
  });
  test("expired", async () => {
    const later = new Date(Date.now() + 30 * 3600 * 1000).toISOString();
    expect(await refused("record.eml", [...opening, "--at", later])).toMatch(/expired/);
  });
  test("no envelope at all", async () => {
    expect(await refused("report.xml")).toMatch(/headers/);
  });
});

describe("a wrong use: exit 64; a missing key or revocation list: exit 78", () => {
  test.each<[number, readonly string[], RegExp]>([
    [64, ["seal", "--message-type", "116", "--document", "report.xml"], /--to/],
    [
      64,
      ["seal", "--to", "DIR/hospital-b", "--message-type", "116", "--document", "report.xml"],
      /--sender FOLDER, or --key with --certificate/,
    ],
    [64, [...sealing.map((arg) => (arg === "report.xml" ? "nowhere.xml" : arg))], /nowhere\.xml is no file, or empty/],
    [64, [...sealing, "--profile", "semrs-3"], /semrs-3/],
    [64, ["open", "--receiver", "DIR/hospital-b", "--out", "x", "record.eml"], /--trust/],
    [64, [...opening, "--out", "DIR", "record.eml"], /DIR is not empty/],
    [64, [...opening, "--out", "x", "nowhere.eml"], /nowhere\.eml is not there/],
    [64, [...opening, "--at", "yesterday", "--out", "x", "record.eml"], /is no time/],
    [78, ["open", "--receiver", "nowhere", "--trust", "DIR/ca.crt", "--out", "x", "record.eml"], /cannot be read/],
  ])("%i: %j", async (exit, args, message) => {
    const ran = await run(...args);
    expect(ran.err).toMatch(message);
    expect(ran.exit).toBe(exit);
  });
  test("without a revocation list it opens only when that is said", async () => {
    mkdirSync(at("ALONE"));
    cpSync(at("DIR/ca.crt"), at("ALONE/ca.crt"));
    const alone = ["open", "--receiver", "DIR/hospital-b", "--trust", "ALONE/ca.crt"];
    expect(await run(...alone, "--out", fresh(), "record.eml")).toMatchObject({
      exit: 78,
      err: expect.stringContaining("--no-revocation"),
    });
    expect(await run(...alone, "--no-revocation", "--out", fresh(), "record.eml")).toMatchObject({
      exit: 0,
      err: expect.stringContaining("revocation is not checked"),
    });
  });
  test("a file that changes while it is sealed", async () => {
    const file = at("large.dcm");
    writeFileSync(file, Buffer.concat([images[0] ?? Buffer.alloc(0), Buffer.alloc(4 << 20)]));
    const args = sealing.map((arg) => (arg === "a.dcm" ? "large.dcm" : arg));
    const child = spawn(process.execPath, [join(root, "semrs.js"), ...args], { cwd });
    let err = "";
    child.stderr.on("data", (chunk: Buffer) => (err += chunk));
    // It has begun to send, and waits for its reader.
    await once(child.stdout, "readable");
    appendFileSync(file, "more");
    child.stdout.resume();
    await once(child, "close");
    expect(err).toMatch(/large\.dcm changed while it was sealed/);
    expect(child.exitCode).toBe(65);
  });
});

describe("inspect", () => {
  test("without a key: profile, id, receivers, parts", async () => {
    const { exit, out } = await run("inspect", "--json", "record.eml");
    expect(exit).toBe(0);
    const told = JSON.parse(out) as { id: string; recipients: string[]; parts: { n: number }[]; headers: string[] };
    expect(told).toMatchObject({ profile: "semrs-2", id: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect([told.recipients.length, told.parts.length, told.headers.length]).toEqual([1, 6, 9]);
    expect((await run("inspect", "record.eml")).out).toMatch(/part 5 {6}image or attachment, \d+ octets of CMS/);
  });
  test("with one: the verified manifest", async () => {
    const { out } = await run("inspect", "--receiver", "DIR/hospital-b", "--trust", "DIR/ca.crt", "record.eml");
    expect(JSON.parse(out)).toMatchObject({ profile: "semrs-2", to: [{ org: "hospital-b" }] });
  });
  test("what is no envelope", async () => {
    expect((await run("inspect", "report.xml")).exit).toBe(65);
  });
});

test("a header block is split at any place, and nothing else than headers is taken", async () => {
  const bytes = readFileSync(at("record.eml"));
  for (const step of [1, 7, 1000]) {
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let from = 0; from < 4000; from += step) yield bytes.subarray(from, Math.min(from + step, 4000));
    }
    const { headers, body } = await readMessage(pieces());
    expect(headers.map(([name]) => name)).toHaveLength(13);
    const rest = Buffer.concat(await Array.fromAsync(body));
    expect(rest.equals(bytes.subarray(4000 - rest.length, 4000))).toBe(true);
  }
  const block = async (text: string) =>
    readMessage(
      (async function* () {
        yield Buffer.from(text, "latin1");
      })(),
    );
  expect(await block("A: 1\r\nB: 2\r\n\r\n")).toMatchObject({
    isStrict: true,
    headers: [
      ["A", "1"],
      ["B", "2"],
    ],
  });
  expect(await block("A: 1\r\n folded\r\n\r\n")).toMatchObject({ isStrict: false, headers: [["A", "1 folded"]] });
  expect(await block("A: 1\nB: 2\r\n\r\n")).toMatchObject({ isStrict: false });
  expect(await block("A: 1\n\n")).toMatchObject({ isStrict: false });
  await expect(block("A: \u0000\r\n\r\n")).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
  await expect(block("A: 1\r\n")).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
  await expect(block(`A: ${"x".repeat(70_000)}`)).rejects.toMatchObject({ code: "ENVELOPE_MALFORMED" });
});

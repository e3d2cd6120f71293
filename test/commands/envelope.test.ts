/** `semrs seal`, `open`, `inspect` on files and pipes: byte for byte. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { readMessage } from "../../envelope/message.ts";
import { documents } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { root, semrs } from "./cli.ts";
import { at, clear, cwd, envelopeFolder, fresh, opened, opening, run, sealing, sealRecord } from "./envelope-folder.ts";

envelopeFolder();

beforeAll(sealRecord);

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
  test("into a reader that has seen enough: ended, without a word of it", async () => {
    writeFileSync(at("large.bin"), Buffer.alloc(4 * 1024 * 1024));
    const child = spawn(process.execPath, [join(root, "semrs.js"), ...sealing, "--attachment", "large.bin"], { cwd });
    let err = "";
    child.stderr.on("data", (chunk: Buffer) => (err += chunk));
    child.stdout.once("data", () => child.stdout.destroy());
    await once(child, "close");
    expect([child.exitCode, err]).toEqual([1, ""]);
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

const script = peer("script");
test.skipIf(!script.available)(
  `on a terminal it says how far it is, and elsewhere nothing ${script.reason}`,
  async () => {
    const node = `${process.execPath} ${join(root, "semrs.js")}`;
    // script(1) gives the program a terminal, and its output to us.
    const onTerminal = (args: readonly string[]): string =>
      execFileSync("script", ["-qec", `${node} ${args.join(" ")}`, "/dev/null"], { cwd, stdio: "pipe" }).toString();
    expect(onTerminal([...sealing, "--out", "terminal.eml"])).toMatch(/\rsealed \d+ of \d+ MiB, \d+ %, \d+ MiB\/s/);
    expect(onTerminal([...opening, "--out", fresh(), "terminal.eml"])).toMatch(/MiB\/s/);
    expect((await run(...sealing, "--out", "quiet.eml")).err).not.toMatch(/MiB/);
  },
);

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

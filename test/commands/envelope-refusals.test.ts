/** `semrs seal` and `open`: what is refused leaves nothing behind, and a wrong use says what to do. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { initPki, revoke } from "../../commands/pki/index.ts";
import { root } from "./cli.ts";
import { at, cwd, envelopeFolder, fresh, images, opening, run, sealing, sealRecord } from "./envelope-folder.ts";

envelopeFolder();

beforeAll(sealRecord);

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

describe("a wrong use: exit 64, or 65 for what is in a file; a missing key or revocation list: exit 78", () => {
  test.each<[number, readonly string[], RegExp]>([
    [64, ["seal", "--message-type", "116", "--document", "report.xml"], /--to/],
    [
      64,
      ["seal", "--to", "DIR/hospital-b", "--message-type", "116", "--document", "report.xml"],
      /--sender FOLDER, or --key with --certificate/,
    ],
    [64, [...sealing.map((arg) => (arg === "report.xml" ? "nowhere.xml" : arg))], /nowhere\.xml is no file, or empty/],
    [65, [...sealing, "--image", "report.xml"], /^semrs seal: report\.xml: no DICM after the preamble/],
    [64, [...sealing, "--out", "DIR"], /^semrs seal: DIR is a folder$/m],
    [64, [...sealing, "--profile", "semrs-3"], /semrs-3/],
    [64, ["open", "--receiver", "DIR/hospital-b", "--out", "x", "record.eml"], /--trust/],
    [64, [...opening, "--out", "DIR", "record.eml"], /DIR is not empty/],
    [64, [...opening, "--out", "x", "nowhere.eml"], /nowhere\.eml is not there/],
    [64, [...opening, "--at", "yesterday", "--out", "x", "record.eml"], /is no time/],
    [78, [...sealing, "--to", "DIR/hospital-b/sign.crt"], /sign\.crt is not to decrypt with/],
    [78, [...sealing, "--to", "DIR/hospital-b/tls.crt", "--profile", "smime-4"], /tls\.crt is not to decrypt with/],
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

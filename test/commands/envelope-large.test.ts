/** `semrs seal` of files that are encrypted straight into their place in the envelope (64 MiB and more), and of what fails there. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { readHeaders } from "../../envelope/headers.ts";
import { readMessage } from "../../envelope/message.ts";
import { octets } from "../envelope/people.ts";
import { disks, makeDisk } from "../faults/disk.ts";
import { peer } from "../peers.ts";
import { sha256 } from "../sites.ts";
import { root } from "./cli.ts";
import { at, clear, cwd, envelopeFolder, fresh, opening, run, sealing, sealRecord } from "./envelope-folder.ts";

envelopeFolder();

const mebibyte = 1 << 20;
/** Neither ends with a segment, and one segment is short. */
const sizes = { "large.bin": 64 * mebibyte + 12_345, "odd.bin": 3 * mebibyte + 1 } as const;
const attached = Object.keys(sizes).flatMap((name) => ["--attachment", name]);

beforeAll(async () => {
  await sealRecord();
  for (const [name, size] of Object.entries(sizes)) {
    const handle = openSync(at(name), "w");
    for (let left = size, n = 0; left > 0; left -= mebibyte, n += 1)
      writeSync(handle, octets(Math.min(mebibyte, left), n + size));
    closeSync(handle);
  }
});

test("opens byte for byte beside images, and its headers hold what fills the space", async () => {
  expect((await run(...sealing, ...attached, "--out", "large.eml")).exit).toBe(0);
  const out = fresh();
  expect((await run(...opening, "--out", out, "large.eml")).exit).toBe(0);
  const opened = (name: string): Buffer => readFileSync(at(`${out}/${name}`));
  expect([opened("document.xml"), opened("image-0001.dcm"), opened("image-0002.dcm")]).toEqual(clear);
  for (const [index, name] of Object.keys(sizes).entries())
    expect(sha256(opened(`attachment-000${index + 1}.bin`))).toBe(sha256(readFileSync(at(name))));

  async function* sealed(): AsyncGenerator<Uint8Array> {
    yield readFileSync(at("large.eml")).subarray(0, 8192);
  }
  const { headers, isStrict } = await readMessage(sealed());
  expect(isStrict).toBe(true);
  expect(headers.at(-1)).toEqual(["Comments", expect.stringMatching(/^-{30,80}$/)]);
  expect(readHeaders(headers).id).toMatch(/^[0-9a-f]{32}$/);
});

test("is the same envelope when it goes into a pipe, in another way", async () => {
  const child = spawn(process.execPath, [join(root, "semrs.js"), ...sealing, ...attached], { cwd });
  child.stderr.resume();
  const piped = Buffer.concat(await child.stdout.toArray());
  writeFileSync(at("piped.eml"), piped);
  expect((await run(...opening, "--out", fresh(), "piped.eml")).exit).toBe(0);
  // All but the header that fills, its end of line, and a signature that may be an octet or two longer.
  expect(Math.abs(readFileSync(at("large.eml")).length - piped.length)).toBeLessThan(100);
});

test("a file that changes meanwhile is refused, and leaves nothing", async () => {
  const child = spawn(process.execPath, [join(root, "semrs.js"), ...sealing, ...attached, "--out", "never.eml"], {
    cwd,
  });
  let err = "";
  child.stderr.on("data", (chunk: Buffer) => (err += chunk));
  const closed = once(child, "close");
  // From the first moment to the last: whenever it looks, the file has become another.
  while (child.exitCode === null) {
    appendFileSync(at("large.bin"), "x");
    await new Promise(setImmediate);
  }
  await closed;
  expect(err).toMatch(/large\.bin changed while it was sealed/);
  expect(child.exitCode).toBe(65);
  expect([existsSync(at("never.eml")), existsSync(at("never.eml.partial"))]).toEqual([false, false]);
});

const disk = disks();
test.skipIf(!disk.available)(
  `a disk that is full ends it with one line, and leaves nothing ${disk.reason}`,
  async () => {
    using small = makeDisk(48);
    const out = join(small.path, "never.eml");
    const { exit, err } = await run(...sealing, ...attached, "--out", out);
    expect(err).toBe(`semrs seal: the disk of ${out} is full; free space and try again\n`);
    expect(exit).toBe(69);
    expect([existsSync(out), existsSync(`${out}.partial`)]).toEqual([false, false]);
  },
);

const script = peer("script");
test.skipIf(!script.available)(`on a terminal it says how far it is ${script.reason}`, () => {
  const line = [process.execPath, join(root, "semrs.js"), ...sealing, ...attached, "--out", "terminal.eml"].join(" ");
  const told = execFileSync("script", ["-qec", line, "/dev/null"], { cwd, stdio: "pipe" }).toString();
  expect(told).toMatch(/\rsealed \d+ of \d+ MiB, \d+ %, \d+ MiB\/s/);
});

/** Sealing and opening one large part, from file to file: ours in a process of its own, openssl cms beside it. */
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, createReadStream, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initPki } from "../../commands/pki/index.ts";
import type { Done, Side, Workload } from "../harness.ts";
import { missing } from "../subjects.ts";

const mebibyte = 1 << 20;
const size = 256 * mebibyte;

export const sealOpen = (): readonly Workload[] => [
  {
    name: "seal 256 MiB from a file into an envelope",
    unit: "MiB/s",
    target: { ratio: 2, rssMb: 200 },
    units: 256,
    quick: 256,
    ours: ours("seal"),
    peers: [openssl("seal")],
  },
  {
    name: "open and verify it",
    unit: "MiB/s",
    target: { rate: 350, ratio: 5, rssMb: 200 },
    units: 256,
    quick: 256,
    ours: ours("open"),
    peers: [openssl("open")],
  },
];

type Verb = "seal" | "open";

/** A folder with keys, 256 random mebibytes, and their digest. */
async function prepared(): Promise<{ folder: string; digest: string }> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-bench-seal-"));
  await initPki(join(folder, "pki"), ["a", "b"], { now: new Date(), rsa: true });
  const hash = createHash("sha256");
  const file = openSync(join(folder, "clear"), "w");
  for (let at = 0; at < size; at += mebibyte) {
    const piece = randomBytes(mebibyte);
    hash.update(piece);
    writeSync(file, piece);
  }
  closeSync(file);
  return { folder, digest: hash.digest("hex") };
}

const ours = (verb: Verb): Side => ({
  name: "semrs",
  start: async () => {
    const { folder, digest } = await prepared();
    const child = (what: Verb): Promise<Done> =>
      run(process.execPath, [join(import.meta.dirname, "seal-open-child.ts"), what, folder]);
    if (verb === "open") await child("seal");
    return {
      stop: async () => rmSync(folder, { recursive: true }),
      run: async () => {
        const done = await child(verb);
        if (verb === "open") await same(join(folder, "opened"), digest);
        return done;
      },
    };
  },
});

/** RSA-PSS signature over all, then AES-256-GCM for an RSA recipient: what an S/MIME 4 tool does. */
const openssl = (verb: Verb): Side => ({
  name: "openssl cms",
  start: async () => {
    const reason = missing("openssl");
    if (reason) return { missing: reason };
    const { folder, digest } = await prepared();
    const at = (name: string): string => join(folder, name);
    const [sign, decrypt] = [at("pki/a/sign"), at("pki/b/decrypt")];
    const commands: Readonly<Record<Verb, string>> = {
      seal: `openssl cms -sign -binary -nodetach -stream -in ${at("clear")} -signer ${sign}.crt -inkey ${sign}.key -outform DER -out ${at("signed")} && openssl cms -encrypt -binary -stream -aes-256-gcm -in ${at("signed")} -recip ${decrypt}.crt -keyopt rsa_padding_mode:oaep -outform DER -out ${at("sealed")}`,
      open: `openssl cms -decrypt -binary -inform DER -in ${at("sealed")} -recip ${decrypt}.crt -inkey ${decrypt}.key -out ${at("signed2")} && openssl cms -verify -binary -inform DER -in ${at("signed2")} -CAfile ${at("pki/ca.crt")} -purpose any -out ${at("opened")}`,
    };
    if (verb === "open") execFileSync("sh", ["-c", commands.seal], { stdio: "ignore" });
    return {
      stop: async () => rmSync(folder, { recursive: true }),
      run: async () => {
        const done = await run("sh", ["-c", commands[verb]]);
        if (verb === "open") await same(at("opened"), digest);
        return done;
      },
    };
  },
});

const pollMs = 10;

/** A child from start to end: wall time, CPU of it and its children, largest memory of any of them. */
async function run(command: string, args: readonly string[]): Promise<Done> {
  const started = performance.now();
  const before = childrenCpu();
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  const said: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
  let rssMb = 0;
  const poll = setInterval(() => {
    for (const pid of family(child.pid ?? 0)) rssMb = Math.max(rssMb, peak(pid));
  }, pollMs);
  await once(child, "close");
  clearInterval(poll);
  if (child.exitCode !== 0) throw new Error(`${command} ended with ${child.exitCode}: ${Buffer.concat(said)}`);
  return {
    units: size / mebibyte,
    seconds: (performance.now() - started) / 1000,
    cpuMs: childrenCpu() - before,
    rssMb,
  };
}

/** CPU time of children that have ended, milliseconds (proc(5): cutime and cstime). */
function childrenCpu(): number {
  const stat = readFileSync("/proc/self/stat", "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

function family(pid: number): readonly number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .trim()
      .split(" ")
      .filter((each) => each !== "")
      .map(Number);
    return [pid, ...children.flatMap(family)];
  } catch {
    return [];
  }
}

function peak(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

async function same(file: string, digest: string): Promise<void> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  if (hash.digest("hex") !== digest) throw new Error(`${file} is not what was sealed`);
}

/** `semrs seal` and `semrs open` on one large file, as a person calls them; `openssl cms` beside them, on the same octets. */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, createReadStream, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { initPki } from "../../commands/pki/index.ts";
import type { Side, Workload } from "../harness.ts";
import { run } from "../process.ts";
import { fresh, missing } from "../subjects.ts";

const mebibyte = 1 << 20;
const semrs = join(import.meta.dirname, "..", "..", "semrs.js");

export const sealOpen = (): readonly Workload[] => [
  {
    name: "semrs seal: a file into an envelope",
    unit: "MiB/s",
    target: { ratio: 2, rssMb: 200 },
    units: 1024,
    quick: 256,
    ours: ours("seal"),
    peers: [openssl("seal"), opensslHeld],
  },
  {
    name: "semrs open: verified, into a file",
    unit: "MiB/s",
    target: { rate: 350, ratio: 5, rssMb: 200 },
    units: 1024,
    quick: 256,
    ours: ours("open"),
    peers: [openssl("open")],
  },
];

/** Memory at 10 GiB: 30 GiB of disk and some minutes, so only when it is named. */
export const sealLarge = (): readonly Workload[] =>
  (["seal", "open"] as const).map((verb) => ({
    name: `semrs ${verb} of 10 GiB`,
    unit: "MiB/s",
    target: { rssMb: 200 },
    units: 10 * 1024,
    quick: 256,
    ours: ours(verb),
    peers: [],
  }));

/** `semrs seal`, then `semrs open`, of an attached document of so many octets, which has to come out as it went in. */
export async function growingDocument() {
  const { at, remove } = await prepared();
  return {
    stop: async () => remove(),
    at: async (size: number) => {
      const document = randomBytes(size);
      writeFileSync(at("clear"), document);
      for (const name of ["sealed", "opened"]) rmSync(at(name), { recursive: true, force: true });
      const { seal, open } = semrsOn(at);
      const both = [await run(...seal, 1), await run(...open, 1)];
      await same(at(attached), createHash("sha256").update(document).digest("hex"));
      return {
        value: both.reduce((total, { seconds = 0 }) => total + seconds * 1000, 0),
        rssMb: Math.max(...both.map(({ rssMb = 0 }) => rssMb)),
      };
    },
  };
}

type Verb = "seal" | "open";
type Folder = { at(name: string): string; remove(): void };

/** A folder with the keys of two houses and a document. */
async function prepared(): Promise<Folder> {
  const folder = fresh("seal");
  await initPki(join(folder, "pki"), ["a", "b"], { now: new Date(), rsa: true });
  writeFileSync(join(folder, "document.xml"), "<ClinicalDocument/>");
  return { at: (name) => join(folder, name), remove: () => rmSync(folder, { recursive: true }) };
}

/** So many random mebibytes in `clear`; returns their digest. */
function written(file: string, mebibytes: number): string {
  const hash = createHash("sha256");
  const handle = openSync(file, "w");
  for (let n = 0; n < mebibytes; n += 1) {
    const piece = randomBytes(mebibyte);
    hash.update(piece);
    writeSync(handle, piece);
  }
  closeSync(handle);
  return hash.digest("hex");
}

/** The same for ours and the peer: makes the input anew when its size changes, and compares what was opened. */
const side = (
  name: string,
  verb: Verb,
  commands: (at: Folder["at"]) => Readonly<Record<Verb, readonly [string, readonly string[]]>>,
  opened: string,
  reason?: string,
): Side => ({
  name,
  start: async () => {
    if (reason) return { missing: reason };
    const { at, remove } = await prepared();
    let [digest, size] = ["", 0];
    return {
      stop: async () => remove(),
      run: async (units) => {
        const { seal, open } = commands(at);
        if (size !== units) {
          digest = written(at("clear"), units);
          if (verb === "open") await run(...seal, units);
          size = units;
        }
        rmSync(at("opened"), { recursive: true, force: true });
        // A new file: what was there before is not freed on the clock.
        if (verb === "seal") rmSync(at("sealed"), { force: true });
        const done = await run(...(verb === "seal" ? seal : open), units);
        if (verb === "open") await same(at(opened), digest);
        return done;
      },
    };
  },
});

const ours = (verb: Verb): Side => side("semrs", verb, semrsOn, attached);

/** What `semrs open` calls the file that was attached. */
const attached = "opened/attachment-0001.bin";

const semrsOn = (at: Folder["at"]): Readonly<Record<Verb, readonly [string, string[]]>> => {
  const houses = ["--sender", at("pki/a"), "--to", at("pki/b"), "--message-type", "116"];
  const trusted = ["--receiver", at("pki/b"), "--trust", at("pki/ca.crt")];
  const parts = ["--document", at("document.xml"), "--attachment", at("clear")];
  return {
    seal: [process.execPath, [semrs, "seal", ...houses, ...parts, "--out", at("sealed")]],
    open: [process.execPath, [semrs, "open", ...trusted, "--out", at("opened"), at("sealed")]],
  };
};

/** Signature over all, piped into AES-256-GCM for an RSA recipient: what an S/MIME 4 tool does. */
const openssl = (verb: Verb, stream = "-stream", name = "openssl cms, as a pipe"): Side =>
  side(
    name,
    verb,
    (at) => {
      const [sign, decrypt] = [at("pki/a/sign"), at("pki/b/decrypt")];
      return {
        seal: [
          "bash",
          [
            ...pipe,
            `openssl cms -sign -binary -nodetach ${stream} -in ${at("clear")} -signer ${sign}.crt -inkey ${sign}.key -outform DER | openssl cms -encrypt -binary ${stream} -aes-256-gcm -recip ${decrypt}.crt -keyopt rsa_padding_mode:oaep -outform DER -out ${at("sealed")}`,
          ],
        ],
        open: [
          "bash",
          [
            ...pipe,
            `openssl cms -decrypt -binary -inform DER -in ${at("sealed")} -recip ${decrypt}.crt -inkey ${decrypt}.key | openssl cms -verify -binary -inform DER -CAfile ${at("pki/ca.crt")} -purpose any -out ${at("opened")}`,
          ],
        ],
      };
    },
    "opened",
    missing("openssl"),
  );

/** The same as its manual's examples have it: each command holds all in memory. */
const opensslHeld = openssl("seal", "", "openssl cms, as a pipe without -stream");

/** Either end that fails fails the pipe. */
const pipe = ["-o", "pipefail", "-c"] as const;

async function same(file: string, digest: string): Promise<void> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  if (hash.digest("hex") !== digest) throw new Error(`${file} is not what was sealed`);
}

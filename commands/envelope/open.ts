/** `semrs open`: an envelope from a file or pipe, verified to its last octet, into a folder; nothing at all when it is refused. */
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Command } from "commander";
import { type Opened, type OpenedPart, open, type Purpose } from "../../envelope/index.ts";
import { readMessage } from "../../envelope/message.ts";
import { Fault } from "../../errors.ts";
import { guarded, print, say } from "../exit.ts";
import { organizationOf, trustOf, unwrappersOf } from "./keys.ts";
import { progress } from "./progress.ts";

type Flags = {
  readonly receiver?: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly trust: readonly string[];
  readonly crl: readonly string[];
  readonly revocation: boolean;
  readonly at?: string;
  readonly out: string;
  readonly json?: boolean;
};

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];
const readBytes = 1 << 20;
const purposes: readonly Purpose[] = ["provide", "push", "response"];

export function openCommand(): Command {
  return new Command("open")
    .summary("open and verify an envelope; write its document, images and manifest")
    .argument("[file]", "the envelope; - for standard input", "-")
    .option("--receiver <folder>", "the receiver's key folder")
    .option("--key <file>", "or its decryption key, PEM")
    .option("--certificate <file>", "with the certificate of that key")
    .option("--trust <file>", "certificate of an authority that is trusted; may be given several times", collect, [])
    .option("--crl <file>", "its revocation list; without one, ca.crl beside it", collect, [])
    .option("--no-revocation", "open although no revocation list is at hand")
    .option("--at <time>", "judge as of this time (ISO 8601), not now")
    .requiredOption("--out <folder>", "where its parts go; must be empty or not there")
    .option("--json", "print JSON")
    .addHelpText(
      "before",
      "Example:\n  semrs open --receiver pki/hospital-b --trust pki/ca.crt --out opened record.eml\n",
    )
    .action((file: string, flags: Flags) => guarded("open", () => openFile(file, flags)));
}

async function openFile(file: string, flags: Flags): Promise<void> {
  if (existsSync(flags.out) && readdirSync(flags.out).length > 0)
    throw new Fault("QUERY_INVALID", `${flags.out} is not empty; name another folder with --out`);
  const { org, unwrappers } = unwrappersOf({ folder: flags.receiver, key: flags.key, certificate: flags.certificate });
  const trust = trustOf(flags.trust, flags.crl, !flags.revocation);
  const { headers, body } = await readMessage(progress(streamOf(file), "opened", sizeOf(file)));
  const opened = await open(headers, body, {
    self: org,
    unwrappers,
    trust,
    now: flags.at ? timeOf(flags.at) : new Date(),
    purposes,
    partner: (_sha256, certificate) => ({ org: organizationOf(certificate), profiles: ["semrs-2"] }),
    hasSeen: () => false,
  });
  const names = await written(opened, resolve(flags.out));
  const { sender, created, purpose, message } = opened.manifest;
  if (flags.json) print(JSON.stringify({ from: opened.org, purpose, message, created, files: names }));
  else for (const name of names) print(join(flags.out, name));
  say(
    `signed by ${opened.org}${opened.origin ? `, author ${opened.origin.org}` : ""}, ${created}; sender ${sender.org}; every digest and tag verified`,
  );
}

/** All parts, in a folder that gets its name only when the last one is verified. */
async function written(opened: Opened, out: string): Promise<readonly string[]> {
  const temporary = join(dirname(out), `.${process.pid}.${opened.manifest.id}.partial`);
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
  try {
    const names: string[] = [];
    const counts = new Map<string, number>();
    for await (const part of opened.parts()) {
      const name = nameOf(part, counts);
      await pipeline(
        Readable.from(part.clear()),
        createWriteStream(join(temporary, name), { mode: 0o600, highWaterMark: readBytes }),
      );
      names.push(name);
    }
    writeFileSync(join(temporary, "manifest.json"), opened.manifestBytes, { mode: 0o600 });
    rmSync(out, { recursive: true, force: true });
    renameSync(temporary, out);
    return [...names, "manifest.json"];
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

const roles = {
  cda: "document.xml",
  command: "command.json",
  dicom: "image-#.dcm",
  attachment: "attachment-#.bin",
} as const;

function nameOf({ entry: { role } }: OpenedPart, counts: Map<string, number>): string {
  const count = (counts.get(role) ?? 0) + 1;
  counts.set(role, count);
  return roles[role].replace("#", String(count).padStart(4, "0"));
}

export const streamOf = (file: string): AsyncIterable<Uint8Array> => {
  if (file === "-") return process.stdin as AsyncIterable<Uint8Array>;
  if (!existsSync(file)) throw new Fault("QUERY_INVALID", `${file} is not there`);
  return createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>;
};

export const sizeOf = (file: string): number | undefined =>
  file === "-" ? undefined : statSync(file, { throwIfNoEntry: false })?.size;

export function timeOf(text: string): Date {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) throw new Fault("QUERY_INVALID", `${text} is no time; write 2026-01-31T12:00:00Z`);
  return at;
}

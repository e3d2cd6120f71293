/** `semrs open`: an envelope from a file or pipe, verified to its last octet, into a folder; nothing at all when it is refused. */

import { createReadStream, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import {
  type KeyTransport,
  keyTransports,
  type Message,
  type Opened,
  type OpenedPart,
  type Opening,
  open,
  open2017,
  openSmime4,
  type Profile,
  type Purpose,
  profileOf,
  readMessage,
  type Spool,
} from "../../envelope/index.ts";
import { Fault } from "../../errors.ts";
import { guarded, print, say } from "../exit.ts";
import { collect } from "../options.ts";
import { checkEmpty, wholeFolder } from "../whole.ts";
import { legacyUnwrapperOf, organizationOf, recipientOf, trustOf, unwrappersOf } from "./keys.ts";
import { progress } from "./progress.ts";
import { withSpool } from "./spool.ts";

type Flags = {
  readonly receiver?: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly trust: readonly string[];
  readonly crl: readonly string[];
  readonly revocation: boolean;
  readonly at?: string;
  readonly from?: string;
  readonly transport: KeyTransport;
  readonly out: string;
  readonly json?: boolean;
};

const readBytes = 1 << 18;
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
    .option("--from <folder>", "semrs-2017: the partner's folder, with its legacy-sign.crt")
    .addOption(
      new Option("--transport <name>", "semrs-2017: how the one-time key is wrapped")
        .choices(keyTransports)
        .default("rsa-oaep"),
    )
    .requiredOption("--out <folder>", "where its parts go; must be empty or not there")
    .option("--json", "print JSON")
    .addHelpText(
      "before",
      "Example:\n  semrs open --receiver pki/hospital-b --trust pki/ca.crt --out opened record.eml\n",
    )
    .action((file: string, flags: Flags) => guarded("open", () => openFile(file, flags)));
}

async function openFile(file: string, flags: Flags): Promise<void> {
  checkEmpty(flags.out);
  const message = await readMessage(progress(streamOf(file), "opened", sizeOf(file)));
  const profile = profileOf(message.headers);
  if (profile !== "smime-4" && !message.isStrict)
    throw new Fault(
      "ENVELOPE_MALFORMED",
      `MIME: headers: a line that is folded or ends in LF alone; ${profile} has none`,
    );
  await withSpool((spool) => profiles[profile](message, flags, spool));
}

const profiles: Readonly<Record<Profile, (message: Message, flags: Flags, spool: Spool) => Promise<void>>> = {
  "semrs-2": async ({ headers, body }, flags) => await tell(await open(headers, body, openingOf(flags)), flags),
  "smime-4": async ({ headers, body }, flags, spool) => {
    const { parts, ...opened } = await openSmime4(headers, body, { ...openingOf(flags), spool });
    // What was signed is the message as a whole: its manifest is what its headers and parts say.
    const manifestBytes = Buffer.from(JSON.stringify(opened.manifest));
    await tell({ ...opened, parts, manifestBytes }, flags);
  },
  "semrs-2017": async ({ headers, body }, flags, spool) => {
    if (!flags.from)
      throw new Fault(
        "QUERY_INVALID",
        "semrs-2017 is opened only for a partner that is named: --from FOLDER, with its legacy-sign.crt",
      );
    const { org, certificate } = recipientOf(flags.from, "legacy-sign");
    const { org: self, unwrapper } = legacyUnwrapperOf(receiver(flags));
    const opened = await open2017(headers, body, {
      self,
      unwrapper,
      trust: trustOf(flags.trust, flags.crl, !flags.revocation),
      now: timeOr(flags.at),
      peer: { org, profiles: ["semrs-2017"], signing: [certificate], chain: [], transport: flags.transport },
      spool,
      // Who has the file and the key asks nobody: one attempt a key is for a service that answers strangers.
      reserve: async () => "fresh",
    });
    if (opened.outcome !== "opened") return;
    const { document, documentSha256, instances, messageType } = opened;
    const files = await wholeFolder(flags.out, async (put) => {
      await put("document.xml", [document]);
      for (const [index, { clear }] of instances.entries()) await put(numbered("image-#.dcm", index + 1), clear());
      const manifest = { profile: "semrs-2017", org, messageType, documentSha256, images: "integrity: none" };
      await put("manifest.json", [Buffer.from(JSON.stringify(manifest))]);
    });
    report(files, { from: org, profile: "semrs-2017" }, flags);
    say(`document signed by ${org}; the ${instances.length} images are signed by nobody`);
  },
};

const receiver = ({ receiver: folder, key, certificate }: Flags) => ({ folder, key, certificate });
const timeOr = (at: string | undefined): Date => (at ? timeOf(at) : new Date());

function openingOf(flags: Flags): Opening {
  const { org, unwrappers } = unwrappersOf(receiver(flags));
  return {
    self: org,
    unwrappers,
    trust: trustOf(flags.trust, flags.crl, !flags.revocation),
    now: timeOr(flags.at),
    purposes,
    partner: (_sha256, certificate) => ({ org: organizationOf(certificate), profiles: ["semrs-2", "smime-4"] }),
    hasSeen: () => false,
  };
}

type Told = Pick<Opened, "org" | "manifestBytes" | "parts"> & {
  readonly manifest: {
    readonly sender: { readonly org: string };
    readonly created: string;
    readonly purpose: string;
    readonly message: string;
  };
  readonly origin: { readonly org: string } | null;
};

async function tell(opened: Told, flags: Flags): Promise<void> {
  const counts = new Map<string, number>();
  const files = await wholeFolder(flags.out, async (put) => {
    for await (const part of opened.parts()) await put(nameOf(part, counts), part.clear());
    await put("manifest.json", [opened.manifestBytes]);
  });
  const { sender, created, purpose, message } = opened.manifest;
  report(files, { from: opened.org, purpose, message, created }, flags);
  say(
    `signed by ${opened.org}${opened.origin ? `, author ${opened.origin.org}` : ""}, ${created}; sender ${sender.org}; every digest and tag verified`,
  );
}

function report(files: readonly string[], what: object, { json, out }: Flags): void {
  if (json) print(JSON.stringify({ ...what, files }));
  else for (const name of files) print(join(out, name));
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
  return numbered(roles[role], count);
}

const numbered = (pattern: string, count: number): string => pattern.replace("#", String(count).padStart(4, "0"));

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

/** `semrs inspect`: what can be told of an envelope without a key: headers, parts, receivers; with one, the manifest. Nothing is verified. */
import { Command } from "commander";
import { unframeKey } from "../../envelope/frame.ts";
import { readHeaders } from "../../envelope/headers.ts";
import { open, profileOf } from "../../envelope/index.ts";
import { purposes } from "../../envelope/manifest.ts";
import { readMessage } from "../../envelope/message.ts";
import { readParts } from "../../envelope/mime.ts";
import { recipientSki } from "../../envelope/recipient.ts";
import { guarded, print, say } from "../exit.ts";
import { collect } from "../options.ts";
import { organizationOf, trustOf, unwrappersOf } from "./keys.ts";
import { sizeOf, streamOf } from "./open.ts";
import { progress } from "./progress.ts";

type Flags = {
  readonly receiver?: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly trust: readonly string[];
  readonly json?: boolean;
};

const maxParts = 25_003;
const maxKeyBytes = 256 * 1024;
const names = ["document or command", "manifest", "signature", "one-time key"];

export function inspectCommand(): Command {
  return new Command("inspect")
    .summary("what can be told of an envelope without a key; with one, its verified manifest")
    .argument("[file]", "the envelope; - for standard input", "-")
    .option("--receiver <folder>", "the receiver's key folder: tells the manifest")
    .option("--key <file>", "or its decryption key, PEM")
    .option("--certificate <file>", "with the certificate of that key")
    .option("--trust <file>", "certificate of an authority that is trusted", collect, [])
    .option("--json", "print JSON")
    .addHelpText(
      "before",
      "Examples:\n  semrs inspect record.eml\n  semrs inspect --receiver pki/hospital-b --trust pki/ca.crt record.eml\n",
    )
    .action((file: string, flags: Flags) =>
      guarded("inspect", () => (flags.receiver || flags.key ? manifest(file, flags) : outside(file, flags))),
    );
}

async function outside(file: string, { json }: Flags): Promise<void> {
  const { headers, body } = await readMessage(progress(streamOf(file), "read", sizeOf(file)));
  const profile = profileOf(headers);
  if (profile !== "semrs-2") {
    let bytes = 0;
    for await (const piece of body) bytes += piece.length;
    print(
      json
        ? JSON.stringify({ profile, bytes })
        : `profile     ${profile}\nbody        ${bytes} octets; more is told only to who opens it`,
    );
    return;
  }
  const { id, boundary, sealed } = readHeaders(headers);
  const parts: { readonly n: number; readonly what: string; readonly bytes: number }[] = [];
  let recipients: readonly string[] = [];
  for await (const part of readParts(body, boundary, maxParts)) {
    const n = parts.length + 1;
    const kept: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of part) {
      bytes += piece.length;
      if (n === 4 && bytes <= maxKeyBytes) kept.push(Uint8Array.from(piece));
    }
    parts.push({ n, what: names[n - 1] ?? "image or attachment", bytes });
    if (n === 4) recipients = unframeKey(Buffer.concat(kept)).recipients.map(recipientSki);
  }
  const made = new Date(Number.parseInt(id.slice(0, 12), 16)).toISOString();
  if (json)
    return void print(
      JSON.stringify({ profile: "semrs-2", id, made, recipients, parts, headers: Object.keys(sealed) }),
    );
  print(`profile     semrs-2\nid          ${id}\nsealed at   ${made} (as the id says; nothing is verified)`);
  for (const ski of recipients) print(`receiver    key id ${ski}`);
  for (const { n, what, bytes } of parts) print(`part ${String(n).padEnd(7)}${what}, ${bytes} octets of CMS`);
  say("With --receiver and --trust the verified manifest is told.");
}

/** Signature, receiver and time are verified; parts are not read. */
async function manifest(file: string, { receiver, key, certificate, trust }: Flags): Promise<void> {
  const { org, unwrappers } = unwrappersOf({ folder: receiver, key, certificate });
  const { headers, body } = await readMessage(streamOf(file));
  const opened = await open(headers, body, {
    self: org,
    unwrappers,
    trust: trustOf(trust, [], false),
    now: new Date(),
    purposes,
    partner: (_sha256, signer) => ({ org: organizationOf(signer), profiles: ["semrs-2"] }),
    hasSeen: () => false,
  });
  process.stdout.write(opened.manifestBytes);
  process.stdout.write("\n");
  say(`signed by ${opened.org}; its parts were not read`);
}

/** `semrs seal`: a document and its images from files into one envelope. */
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, renameSync, rmSync, statSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Command, Option } from "commander";
import { type Content, digestPart, seal, sealDigested } from "../../envelope/index.ts";
import { writeMessage } from "../../envelope/message.ts";
import { Fault } from "../../errors.ts";
import { readMeta } from "../../formats/dicom.ts";
import { guarded, say } from "../exit.ts";
import { recipientOf, signerOf } from "./keys.ts";
import { progress } from "./progress.ts";

type Flags = {
  readonly profile: string;
  readonly sender?: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly to: readonly string[];
  readonly messageType: string;
  readonly document: string;
  readonly image: readonly string[];
  readonly attachment: readonly string[];
  readonly lifetime: string;
  readonly out: string;
};

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];
const readBytes = 1 << 20;
const metaBytes = 128 * 1024;
const hourMs = 3600 * 1000;

export function sealCommand(): Command {
  return new Command("seal")
    .summary("seal a document and its images into an envelope for one or several receivers")
    .addOption(new Option("--profile <name>", "envelope profile").choices(["semrs-2"]).default("semrs-2"))
    .option("--sender <folder>", "the sender's key folder")
    .option("--key <file>", "or its signing key, PEM")
    .option("--certificate <file>", "with the certificate of that key")
    .requiredOption("--to <folder or certificate>", "a receiver; may be given several times", collect, [])
    .requiredOption("--message-type <type>", "EEC form (116) or LOINC code")
    .requiredOption("--document <file>", "CDA document; - for standard input")
    .option("--image <file>", "DICOM Part 10 file; may be given several times", collect, [])
    .option("--attachment <file>", "any other file; may be given several times", collect, [])
    .option("--lifetime <hours>", "how long it may be opened", "24")
    .option("--out <file>", "where it goes; - for standard output", "-")
    .addHelpText(
      "before",
      "Example:\n  semrs seal --sender pki/hospital-a --to pki/hospital-b --message-type 116 --document report.xml --image ct-1.dcm --out record.eml\n",
    )
    .action((flags: Flags) => guarded("seal", () => sealFiles(flags)));
}

async function sealFiles(flags: Flags): Promise<void> {
  if (flags.to.length === 0) throw new Fault("QUERY_INVALID", "name a receiver with --to");
  const { org, signer } = signerOf({ folder: flags.sender, key: flags.key, certificate: flags.certificate });
  const content = [
    await documentOf(flags.document),
    ...(await each(flags.image, imageOf)),
    ...(await each(flags.attachment, (file) => fileOf(file, { role: "attachment", type: "application/octet-stream" }))),
  ];
  const draft = {
    purpose: "push",
    message: randomBytes(16).toString("hex"),
    sender: org,
    messageType: flags.messageType,
    to: flags.to.map(recipientOf),
    content,
  } as const;
  const sealed = await seal(draft, signer, new Date(), Number(flags.lifetime) * hourMs);
  const stream = progress(writeMessage(sealed.headers, sealed.body()), "sealed", sealed.contentLength);
  if (flags.out === "-") return await pipeline(Readable.from(stream), process.stdout, { end: false });
  const temporary = `${flags.out}.partial`;
  try {
    await pipeline(Readable.from(stream), createWriteStream(temporary, { mode: 0o600, highWaterMark: readBytes }));
    renameSync(temporary, flags.out);
  } finally {
    rmSync(temporary, { force: true });
  }
  say(
    `${flags.out}: ${content.length + 3} parts for ${draft.to.map((receiver) => receiver.org).join(", ")}, id ${sealed.id}`,
  );
}

async function each<T>(files: readonly string[], make: (file: string) => Promise<T>): Promise<readonly T[]> {
  const made: T[] = [];
  for (const file of files) made.push(await make(file));
  return made;
}

async function documentOf(file: string): Promise<Content> {
  if (file !== "-") return await fileOf(file, { role: "cda", type: "text/xml" }, "whole");
  const bytes = Buffer.concat(await Array.fromAsync(process.stdin as AsyncIterable<Uint8Array>));
  const body = (): AsyncIterable<Uint8Array> => Readable.from([bytes]);
  return { role: "cda", type: "text/xml", ...sealDigested(await digestPart(body(), "whole"), body) };
}

/** The SOP Instance UID is read from the file; its bytes are not looked at otherwise. */
async function imageOf(file: string): Promise<Content> {
  const handle = await openFile(file).catch((cause: unknown) => {
    throw new Fault("QUERY_INVALID", `${file} cannot be read`, { cause });
  });
  try {
    const head = Buffer.alloc(metaBytes);
    const { bytesRead } = await handle.read(head, 0, metaBytes, 0);
    return await fileOf(file, {
      role: "dicom",
      type: "application/dicom",
      sop: readMeta(head.subarray(0, bytesRead)).sopInstanceUid,
    });
  } finally {
    await handle.close();
  }
}

/** A file is digested first and encrypted while it is sent: it must not change between. */
async function fileOf(
  file: string,
  what: Pick<Content, "role" | "type" | "sop">,
  form: "whole" | "segments" = "segments",
): Promise<Content> {
  const before = statSync(file, { throwIfNoEntry: false });
  if (!before?.isFile() || before.size === 0) throw new Fault("QUERY_INVALID", `${file} is no file, or empty`);
  const read = (): AsyncIterable<Uint8Array> =>
    createReadStream(file, { highWaterMark: readBytes, end: before.size - 1 }) as AsyncIterable<Uint8Array>;
  const digests = await digestPart(progress(read(), `${file} digested`, before.size), form);
  async function* unchanged(): AsyncGenerator<Uint8Array> {
    yield* read();
    const after = statSync(file, { throwIfNoEntry: false });
    if (after?.mtimeMs !== before?.mtimeMs || after?.size !== before?.size)
      throw new Fault("STORE_CONFLICT", `${file} changed while it was sealed; seal it again`);
  }
  return { ...what, ...sealDigested(digests, unchanged) };
}

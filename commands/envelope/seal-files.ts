/** What `semrs seal` does: files into one envelope, in the profile that is asked for. */
import { randomBytes } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Spool } from "../../envelope/index.ts";
import { writeMessage } from "../../envelope/message.ts";
import { type Digests, digestPart, sealDigested } from "../../envelope/part.ts";
import { type Content, type Draft, type Sealed, seal } from "../../envelope/seal.ts";
import { Fault } from "../../errors.ts";
import { readMeta } from "../../formats/dicom.ts";
import { say } from "../exit.ts";
import { isStream, wholeFile } from "../whole.ts";
import { changed, digestFile, octetsOf, sizeOfFile, threadedBytes, writeFileOf } from "./files.ts";
import { legacySignerOf, recipientOf, signerOf } from "./keys.ts";
import { progress } from "./progress.ts";
import type { SealFlags } from "./seal.ts";
import { type FilePart, sealInPlace } from "./seal-in-place.ts";
import { withSpool } from "./spool.ts";

const readBytes = 1 << 20;
const metaBytes = 128 * 1024;
const hourMs = 3600 * 1000;

export async function sealFiles(flags: SealFlags): Promise<void> {
  if (flags.to.length === 0) throw new Fault("QUERY_INVALID", "name a receiver with --to");
  await withSpool(async (spool) => {
    if (flags.profile === "semrs-2" && flags.out !== "-" && !isStream(flags.out)) {
      const told = await inPlace(flags);
      if (told) return say(`${flags.out}: ${told}`);
    }
    const { headers, body, contentLength, told } = await profiles[flags.profile](flags, spool);
    const stream = progress(writeMessage(headers, body()), "sealed", contentLength);
    if (flags.out === "-") return await pipeline(Readable.from(stream), process.stdout, { end: false });
    await wholeFile(flags.out, (temporary) => writeFileOf(temporary, stream, 0o600));
    say(`${flags.out}: ${told}`);
  });
}

type Ready = Pick<Sealed, "headers" | "contentLength" | "body"> & { readonly told: string };

const profiles: Readonly<Record<SealFlags["profile"], (flags: SealFlags, spool: Spool) => Promise<Ready>>> = {
  "semrs-2": async (flags) => {
    const draft = draftOf(flags, await contents(flags));
    const sealed = await seal(draft, signerOf(sender(flags)).signer, new Date(), lifetimeOf(flags));
    return { ...sealed, told: `${draft.content.length + 3} parts for ${names(draft.to)}, id ${sealed.id}` };
  },
  // Signed and encrypted as one: its parts are read twice, from ciphertext that is set aside.
  "smime-4": async (flags, spool) => {
    const content = await each(await contents(flags), async (one): Promise<Content> => {
      const { read } = await spool.write(one.cipher());
      return { ...one, cipher: read };
    });
    const draft = draftOf(flags, content);
    const { sealSmime4 } = await import("../../envelope/smime4-seal.ts");
    const sealed = await sealSmime4(draft, signerOf(sender(flags)).signer, new Date(), lifetimeOf(flags));
    return { ...sealed, told: `one S/MIME message for ${names(draft.to)}, id ${sealed.id}` };
  },
  "semrs-2017": async (flags) => {
    const [to = "", ...more] = flags.to;
    if (more.length > 0 || flags.attachment.length > 0)
      throw new Fault("QUERY_INVALID", "semrs-2017 has one receiver, and images only");
    const { org, certificate } = recipientOf(to, "legacy-decrypt");
    const { seal2017 } = await import("../../envelope/semrs2017-seal.ts");
    const { org: own, signer } = legacySignerOf(sender(flags));
    const document = await collected(flags.document);
    const instances = flags.image.map((file) => ({ size: sizeOfFile(file), clear: () => streamOf(file) }));
    const draft = {
      sender: own,
      to: { org, certificate, transport: flags.transport },
      messageType: flags.messageType,
      document,
      instances,
    };
    say("semrs-2017: images and headers are not signed; for a partner that can nothing else");
    return {
      ...(await seal2017(draft, signer)),
      told: `${instances.length + 4} parts for ${org}, as the paper writes them`,
    };
  },
};

const lifetimeOf = ({ lifetime }: SealFlags): number => lifetime * hourMs;
const sender = ({ sender: folder, key, certificate }: SealFlags) => ({ folder, key, certificate });
const names = (to: readonly { readonly org: string }[]): string => to.map(({ org }) => org).join(", ");

const draftOf = (flags: SealFlags, content: readonly Content[]): Draft => ({
  purpose: "push",
  message: randomBytes(16).toString("hex"),
  sender: signerOf(sender(flags)).org,
  messageType: flags.messageType,
  to: flags.to.map((path) => recipientOf(path)),
  content,
});

const contents = async (flags: SealFlags): Promise<readonly Content[]> => [
  await documentOf(flags.document),
  ...(await each(await partsOf(flags), fileOf)),
];

const partsOf = async ({ image, attachment }: SealFlags): Promise<readonly FilePart[]> => [
  ...(await each(image, imageOf)),
  ...(await each(attachment, async (file) => partOf(file, { role: "attachment", type: "application/octet-stream" }))),
];

/** What was written, if the files are large enough to be sealed in place. */
async function inPlace(flags: SealFlags): Promise<string | undefined> {
  const files = await partsOf(flags);
  const { size } = files.reduce((sum, part) => ({ size: sum.size + part.size }), { size: 0 });
  if (size < threadedBytes) return undefined;
  const before = files.map(({ file }) => statOf(file));
  const { signer } = signerOf(sender(flags));
  let id = "";
  await wholeFile(flags.out, async (temporary) => {
    const message = randomBytes(16).toString("hex");
    await sealInPlace(temporary, await documentOf(flags.document), files, async (content) => {
      const sealed = await seal({ ...draftOf(flags, content), message }, signer, new Date(), lifetimeOf(flags));
      ({ id } = sealed);
      return sealed;
    });
    for (const [at, { file }] of files.entries()) if (statOf(file) !== before[at]) throw changed(file);
  });
  return `${files.length + 4} parts for ${names(draftOf(flags, []).to)}, id ${id}`;
}

async function each<S, T>(all: readonly S[], make: (one: S) => Promise<T>): Promise<readonly T[]> {
  const made: T[] = [];
  for (const one of all) made.push(await make(one));
  return made;
}

const collected = async (file: string): Promise<Uint8Array> =>
  Buffer.concat(await Array.fromAsync(file === "-" ? (process.stdin as AsyncIterable<Uint8Array>) : streamOf(file)));

const streamOf = (file: string): AsyncIterable<Uint8Array> =>
  createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>;

async function documentOf(file: string): Promise<Content> {
  const what = { role: "cda", type: "text/xml" } as const;
  const size = file === "-" ? 0 : sizeOfFile(file);
  if (file !== "-") return await contentOf(file, size, what, () => digestPart(octetsOf(file, 0, size), "whole"));
  const bytes = await collected(file);
  const body = (): AsyncIterable<Uint8Array> => Readable.from([bytes]);
  return { ...what, ...sealDigested(await digestPart(body(), "whole"), body) };
}

/** The SOP Instance UID is read from the file; its bytes are not looked at otherwise. */
async function imageOf(file: string): Promise<FilePart> {
  const handle = await openFile(file).catch((cause: unknown) => {
    throw new Fault("QUERY_INVALID", `${file} cannot be read`, { cause });
  });
  try {
    const head = Buffer.alloc(metaBytes);
    const { bytesRead } = await handle.read(head, 0, metaBytes, 0);
    const sop = readMeta(head.subarray(0, bytesRead)).sopInstanceUid;
    return partOf(file, { role: "dicom", type: "application/dicom", sop });
  } catch (thrown) {
    // Of several images, which it was.
    throw thrown instanceof Fault ? new Fault(thrown.code, `${file}: ${thrown.message}`, { cause: thrown }) : thrown;
  } finally {
    await handle.close();
  }
}

const partOf = (file: string, what: FilePart["what"]): FilePart => ({ file, size: sizeOfFile(file), what });

/** A file is digested first and encrypted while it is sent: it must not change between. */
const fileOf = ({ file, size, what }: FilePart): Promise<Content> =>
  contentOf(file, size, what, () => digestFile(file, size));

async function contentOf(
  file: string,
  size: number,
  what: FilePart["what"],
  digest: () => Promise<Digests>,
): Promise<Content> {
  const before = statOf(file);
  const read = (): AsyncIterable<Uint8Array> => octetsOf(file, 0, size);
  const digests = await digest();
  async function* unchanged(): AsyncGenerator<Uint8Array> {
    yield* read();
    if (statOf(file) !== before) throw changed(file);
  }
  return { ...what, ...sealDigested(digests, unchanged) };
}

/** When a file was written and how large it is: told again, it was not written since. */
function statOf(file: string): string {
  const { mtimeMs, size } = statSync(file, { throwIfNoEntry: false }) ?? {};
  return `${mtimeMs} ${size}`;
}

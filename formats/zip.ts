/**
 * ZIP archives (APPNOTE 6.3.4) as documents travel in them: read from memory, bounded, names never used as paths. Stored and
 * deflated entries only; encryption, several disks and ZIP64 are refused.
 */
import { crc32, inflateRawSync } from "node:zlib";
import { Fault } from "../errors.ts";

export type ZipEntry = {
  /** As it stands in the archive. */
  readonly name: string;
  /** Octets of clear content, as declared. */
  readonly size: number;
  /** The content; DOCUMENT_MALFORMED when it is not what the directory says. */
  read(): Uint8Array;
};

const maxEntries = 256;
const maxEntryBytes = 64 * 1024 * 1024;
const maxTotalBytes = 128 * 1024 * 1024;
/** Deflate reaches about 1032 to 1 (RFC 1951); no document comes near this. */
const maxRatio = 200;
/** A small entry may well be all white space. */
const ratioFromBytes = 1024 * 1024;

const endSignature = 0x06054b50;
const directorySignature = 0x02014b50;
const localSignature = 0x04034b50;
const [endBytes, directoryBytes, localBytes] = [22, 46, 30];
const maxCommentBytes = 65_535;
const encrypted = 0x1;
const utf8Name = 0x800;
const methods = { stored: 0, deflated: 8 } as const;

const malformed = (what: string): Fault => new Fault("DOCUMENT_MALFORMED", `ZIP: ${what}`);

/** The entries of an archive, folders left out; DOCUMENT_MALFORMED or TOO_LARGE says what is wrong. */
export function readZip(bytes: Uint8Array): readonly ZipEntry[] {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = endOf(archive);
  const count = archive.readUInt16LE(end + 10);
  const start = archive.readUInt32LE(end + 16);
  if (archive.readUInt16LE(end + 4) !== 0 || archive.readUInt16LE(end + 8) !== count) throw malformed("several disks");
  if (count === 0xffff || start === 0xffffffff) throw malformed("ZIP64 is not read");
  if (count > maxEntries) throw new Fault("TOO_LARGE", `ZIP: more than ${maxEntries} entries`);
  const entries: ZipEntry[] = [];
  let total = 0;
  for (let at = start, n = 0; n < count; n += 1) {
    if (at + directoryBytes > end || archive.readUInt32LE(at) !== directorySignature)
      throw malformed("its directory is broken");
    const [flags, method] = [archive.readUInt16LE(at + 8), archive.readUInt16LE(at + 10)];
    const [crc, packed, size] = [
      archive.readUInt32LE(at + 16),
      archive.readUInt32LE(at + 20),
      archive.readUInt32LE(at + 24),
    ];
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) => archive.readUInt16LE(at + offset));
    const next = at + directoryBytes + (nameBytes ?? 0) + (extraBytes ?? 0) + (commentBytes ?? 0);
    if (next > end) throw malformed("its directory is truncated");
    const name = archive
      .subarray(at + directoryBytes, at + directoryBytes + (nameBytes ?? 0))
      .toString(flags & utf8Name ? "utf8" : "latin1");
    const local = archive.readUInt32LE(at + 42);
    at = next;
    if (name.endsWith("/")) continue;
    if (flags & encrypted) throw malformed("an entry is encrypted; send it in clear, the envelope seals it");
    if (method !== methods.stored && method !== methods.deflated) throw malformed(`compression method ${method}`);
    total += size;
    if (size > maxEntryBytes || total > maxTotalBytes)
      throw new Fault("TOO_LARGE", `ZIP: more than ${maxEntryBytes} octets in an entry, or ${maxTotalBytes} in all`);
    if (size > ratioFromBytes && size > packed * maxRatio)
      throw new Fault("TOO_LARGE", `ZIP: an entry of more than ${maxRatio} times its compressed size`);
    entries.push({ name, size, read: () => contentOf(archive, local, { method, packed, size, crc }) });
  }
  return entries;
}

/** The last end-of-directory record whose comment reaches exactly to the end. */
function endOf(archive: Buffer): number {
  const first = Math.max(0, archive.length - endBytes - maxCommentBytes);
  for (let at = archive.length - endBytes; at >= first; at -= 1) {
    if (archive.readUInt32LE(at) === endSignature && at + endBytes + archive.readUInt16LE(at + 20) === archive.length)
      return at;
  }
  throw malformed("no directory at its end");
}

type Declared = { readonly method: number; readonly packed: number; readonly size: number; readonly crc: number };

function contentOf(archive: Buffer, local: number, { method, packed, size, crc }: Declared): Uint8Array {
  if (local + localBytes > archive.length || archive.readUInt32LE(local) !== localSignature)
    throw malformed("an entry is not where the directory says");
  const from = local + localBytes + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  if (from + packed > archive.length) throw malformed("an entry is truncated");
  const data = archive.subarray(from, from + packed);
  const content = method === methods.stored ? data : inflated(data, size);
  if (content.length !== size || crc32(content) !== crc) throw malformed("an entry is not what the directory says");
  return content;
}

function inflated(data: Uint8Array, size: number): Buffer {
  try {
    return inflateRawSync(data, { maxOutputLength: Math.max(1, size) });
  } catch (cause) {
    throw new Fault("DOCUMENT_MALFORMED", "ZIP: an entry does not inflate to its size", { cause });
  }
}

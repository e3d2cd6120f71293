/** A Part 10 file as it streams: its meta information, and behind it the data set, inflated where it is deflated. */
import { type Duplex, pipeline } from "node:stream";
import { createDeflateRaw, createInflateRaw } from "node:zlib";
import { Fault } from "../errors.ts";
import { deflatedExplicitLittle, type Meta, metaEnd, readMeta } from "./dicom.ts";
import { openScan } from "./dicom-scan.ts";
import { encodingOf, tagOf } from "./dicom-tokens.ts";

type Octets = AsyncIterable<Uint8Array>;
/** What the octets of a data set become. */
export type Rewrite = (dataSet: Octets, transferSyntaxUid: string) => Octets;

/** How large a deflated data set may become on its way through: deflate packs a thousand to one. */
const maxInflatedBytes = 4 * 1024 ** 3;

/** The file with its data set rewritten; its meta information stays, and a deflated data set is deflated anew. */
export async function* rewriteDataSet(file: Octets, rewrite: Rewrite): AsyncGenerator<Uint8Array> {
  const { head, meta, rest, close } = await openFile(file);
  try {
    yield head;
    if (meta.transferSyntaxUid !== deflatedExplicitLittle) return yield* rewrite(rest, meta.transferSyntaxUid);
    let size = 0;
    const rewritten = rewrite(inflated(rest), meta.transferSyntaxUid);
    for await (const chunk of piped(rewritten, createDeflateRaw())) {
      size += chunk.length;
      yield chunk;
    }
    // PS3.5 A.5: a deflated data set of odd length is padded with one NUL.
    if (size % 2 === 1) yield new Uint8Array(1);
  } finally {
    await close();
  }
}

/** Patient's Birth Date and Sex of an instance, as written. */
export type InstancePatient = { readonly birthDate: string | null; readonly sex: string | null };
const [birthDateTag, sexTag] = [0x00100030, 0x00100040];

/** Reads the patient's facts of an instance; what follows them is not read. */
export async function readInstancePatient(file: Octets): Promise<InstancePatient> {
  const { meta, rest, close } = await openFile(file);
  const { transferSyntaxUid } = meta;
  const encoding = encodingOf(transferSyntaxUid);
  let isPast = false;
  const scan = openScan(transferSyntaxUid, (octets, begins) => {
    if (begins && tagOf(octets, encoding) > sexTag) isPast = true;
  });
  try {
    for await (const chunk of transferSyntaxUid === deflatedExplicitLittle ? inflated(rest) : rest) {
      scan.push(chunk);
      if (isPast) break;
    }
  } finally {
    await close();
  }
  const text = (tag: number): string | null =>
    Buffer.from(scan.values().get(tag) ?? [])
      .toString("latin1")
      .replace(/[\0 ]+$/, "") || null;
  return { birthDate: text(birthDateTag), sex: text(sexTag) };
}

type File = {
  readonly head: Uint8Array;
  readonly meta: Meta;
  readonly rest: Octets;
  /** To be called whatever comes: `rest` may never have been begun, and the file is a descriptor. */
  close(): Promise<void>;
};

async function openFile(file: Octets): Promise<File> {
  const chunks = file[Symbol.asyncIterator]();
  const close = async (): Promise<void> => void (await chunks.return?.());
  let head: Buffer = Buffer.alloc(0);
  try {
    while (head.length < metaEnd(head)) {
      const { done, value } = await chunks.next();
      if (done) throw new Fault("DICOM_INVALID", "the file ends in its meta information");
      // The first chunk, of a mebibyte, is mostly enough, and is not copied.
      head = head.length > 0 ? Buffer.concat([head, value]) : Buffer.from(value.buffer, value.byteOffset, value.length);
    }
    const meta = readMeta(head);
    async function* rest(): AsyncGenerator<Uint8Array> {
      yield head.subarray(meta.offset);
      yield* { [Symbol.asyncIterator]: () => chunks };
    }
    return { head: head.subarray(0, meta.offset), meta, rest: rest(), close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

async function* inflated(deflated: Octets): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of piped(deflated, createInflateRaw())) {
    size += chunk.length;
    if (size > maxInflatedBytes)
      throw new Fault("TOO_LARGE", `the data set inflates to more than ${maxInflatedBytes} octets`);
    yield chunk;
  }
}

/** A stream transform as a generator; the source's own fault is the one that is thrown. */
async function* piped(source: Octets, transform: Duplex): AsyncGenerator<Uint8Array> {
  let failure: unknown;
  const ended = new Promise<void>((resolve) => {
    pipeline(source, transform, (error) => {
      failure = error;
      resolve();
    });
  });
  try {
    yield* transform as AsyncIterable<Uint8Array>;
  } catch (thrown) {
    await ended;
    if (failure instanceof Fault) throw failure;
    throw new Fault("DICOM_INVALID", "the deflated data set does not inflate", { cause: failure ?? thrown });
  }
}

/**
 * Writing past the page cache (open(2), O_DIRECT): memory, place in the file and length are whole blocks. What a file has behind the
 * end of its body is zeros, within its last block.
 */
import { constants } from "node:fs";
import { type Buffers, openBuffers } from "../memory.ts";

/** A file system may ask for less, hardly for more: one that does refuses, and is written in the ordinary way. */
export const blockBytes = 4096;
/** 0 where the platform has none. */
export const direct: number = constants.O_DIRECT ?? 0;

/** The types of Node leave it to those of browsers. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
  }) => { readonly buffer: ArrayBuffer };
};

/** Octets of the blocks that so many take. */
export const wholeBlocks = (size: number): number => Math.ceil(size / blockBytes) * blockBytes;

/** Whether a file of this size holds a body of that one. */
export const isSizeOf = (file: number, body: number): boolean => file === body || file === wholeBlocks(body);

/** The piece, with zeros behind it to the end of its block: what lies there in its memory is overwritten. */
export function inBlocks(piece: Buffer): Buffer {
  const { buffer, byteOffset, length } = piece;
  return Buffer.from(buffer, byteOffset, wholeBlocks(length)).fill(0, length);
}

/** Buffers that begin at a block; `isAligned` tells them from ordinary ones, which come when all of them are lent. */
export type AlignedBuffers = Buffers & { isAligned(piece: Buffer): boolean };

/** `count` buffers of `bytes`, whole blocks; none is touched before it is used. */
export function openAligned(bytes: number, count: number): AlignedBuffers {
  const ordinary = openBuffers(bytes, 0);
  let memory: ArrayBuffer | undefined;
  const resting: Buffer[] = [];
  const make = (): void => {
    // Of all memory in Node only that of WebAssembly says that it begins at a page.
    const pages = Math.ceil((bytes * count) / wasmPageBytes);
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages });
    memory = buffer;
    for (let n = count - 1; n >= 0; n -= 1) resting.push(Buffer.from(buffer, n * bytes, bytes));
  };
  const isAligned = ({ buffer }: Buffer): boolean => buffer === memory;
  return {
    isAligned,
    take: () => {
      if (!memory) make();
      return resting.pop() ?? ordinary.take();
    },
    put: (buffer) => {
      if (isAligned(buffer)) resting.push(buffer);
      else ordinary.put(buffer);
    },
  };
}

const wasmPageBytes = 64 * 1024;

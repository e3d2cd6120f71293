/** A deflated data set (PS3.5 A.5), inflated as it comes: what it takes is a chunk, whatever its size and whatever it inflates to. */
import { finished } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";
import { Fault } from "../errors.ts";

/** Most that a data set may inflate to: a thousandth of that can be sent. */
export const maxInflatedBytes = 1024 ** 3;
const chunkSize = 64 * 1024;

export type Inflating = {
  /** Resolves when all that the chunk brings was passed on: until then it is not to be changed. DICOM_INVALID, or what `into` throws. */
  push(chunk: Uint8Array): Promise<void>;
  /** Nothing follows; DICOM_INVALID where it is cut short. */
  end(): Promise<void>;
};

export function openInflating(into: (chunk: Uint8Array) => void): Inflating {
  const stream = createInflateRaw({ chunkSize });
  let size = 0;
  let failure: unknown;
  const fail = (cause: unknown): void => {
    failure ??= cause;
    stream.destroy();
  };
  stream.on("error", (cause) => fail(new Fault("DICOM_INVALID", "the deflated data set does not inflate", { cause })));
  stream.on("data", (chunk: Uint8Array) => {
    if (failure !== undefined) return;
    size += chunk.length;
    if (size > maxInflatedBytes)
      return fail(
        new Fault("DICOM_INVALID", `the deflated data set does not inflate within ${maxInflatedBytes} octets`),
      );
    try {
      into(chunk);
    } catch (thrown) {
      fail(thrown);
    }
  });
  /** Who waits for a chunk is not called back by a stream that fails in it. */
  let waiting = (): void => undefined;
  stream.on("close", () => waiting());
  const unlessFailed = (): void => {
    if (failure !== undefined) throw failure;
  };
  return {
    push: async (chunk) => {
      unlessFailed();
      await new Promise<void>((resolve) => {
        waiting = resolve;
        stream.write(chunk, () => resolve());
      });
      unlessFailed();
    },
    end: async () => {
      unlessFailed();
      stream.end();
      await finished(stream).catch(() => undefined);
      unlessFailed();
    },
  };
}

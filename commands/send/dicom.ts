/** DICOM Part 10 files, as they are, on one or several associations. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { Fault, reasonOf } from "../../errors.ts";
import { readMeta } from "../../formats/dicom.ts";
import type { SendFiles } from "./index.ts";
import { quiet } from "./peer.ts";
import { pace } from "./report.ts";

const headBytes = 128 * 1024;
const readBytes = 1024 * 1024;

type FileItem = DicomItem & { readonly file: string; started: number };

export const sendDicom: SendFiles = async (files, { to, aet, connections, rate, timeout }, tls, told) => {
  const options = dicomDestination.options.parse({
    ...to,
    tls,
    callingAeTitle: aet,
    associations: Math.min(connections, 16),
    responseSeconds: timeout,
  });
  const wait = pace(rate);
  const pending = new Map<string, FileItem>();
  for (const file of files) {
    try {
      const item = await itemOf(file, wait);
      pending.set(item.file, item);
    } catch (thrown) {
      told({ file, controlId: "", state: "failed", detail: "", reason: reasonOf(thrown), ms: 0 });
    }
  }
  try {
    await dicomDestination.send(
      options,
      each([...pending.values()]),
      (item, outcome) => {
        const { file, controlId, started } = item as FileItem;
        pending.delete(file);
        const detail = "detail" in outcome ? (outcome.detail ?? "") : "";
        const reason = outcome.state === "delivered" ? "" : outcome.reason;
        const ms = started > 0 ? Math.round(performance.now() - started) : 0;
        told({ file, controlId, state: outcome.state, detail, reason, ms });
      },
      quiet,
    );
  } catch (thrown) {
    for (const { file, controlId } of pending.values())
      told({ file, controlId, state: "failed", detail: "", reason: reasonOf(thrown), ms: 0 });
    throw thrown;
  }
};

async function itemOf(file: string, wait: () => Promise<void>): Promise<FileItem> {
  const handle = await open(file).catch((cause: unknown) => {
    throw new Fault("QUERY_INVALID", "cannot be read", { cause });
  });
  try {
    const { size } = await handle.stat();
    const head = Buffer.alloc(Math.min(headBytes, size));
    await handle.read(head, 0, head.length, 0);
    const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readMeta(head);
    const item: FileItem = {
      file,
      controlId: sopInstanceUid,
      size,
      sopClassUid,
      transferSyntaxUid,
      started: 0,
      body: async function* () {
        await wait();
        item.started = performance.now();
        yield* createReadStream(file, { highWaterMark: readBytes }) as AsyncIterable<Uint8Array>;
      },
    };
    return item;
  } finally {
    await handle.close();
  }
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

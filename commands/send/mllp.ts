/** HL7 v2 messages from files, on several connections that take from one list. */
import { readFile } from "node:fs/promises";
import type { Item } from "../../connectors/connector.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import { Fault, reasonOf } from "../../errors.ts";
import { readMsh } from "../../formats/hl7.ts";
import type { SendFiles } from "./index.ts";
import { quiet } from "./peer.ts";
import { pace, type ReportLine } from "./report.ts";

type FileItem = Item & { readonly file: string; started: number };

export const sendMllp: SendFiles = async (files, { to, connections, rate, timeout }, tls, told) => {
  const options = mllpDestination.options.parse({ ...to, tls, responseSeconds: timeout });
  const left = [...files];
  const wait = pace(rate);
  const failed = (file: string, thrown: unknown): void =>
    told({ file, controlId: "", state: "failed", detail: "", reason: reasonOf(thrown), ms: 0 } satisfies ReportLine);

  async function* taken(): AsyncGenerator<FileItem> {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      try {
        yield await itemOf(file, wait);
      } catch (thrown) {
        failed(file, thrown);
      }
    }
  }
  const connection = async (): Promise<void> => {
    // After an answer that never came a connection is of no use; what is left goes on a new one.
    while (left.length > 0) {
      await mllpDestination.send(
        options,
        taken(),
        (item, outcome) => {
          const { file, controlId, started } = item as FileItem;
          const detail = "detail" in outcome ? (outcome.detail ?? "") : "";
          const reason = outcome.state === "delivered" ? "" : outcome.reason;
          told({ file, controlId, state: outcome.state, detail, reason, ms: Math.round(performance.now() - started) });
        },
        quiet,
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(connections, files.length) }, connection));
};

async function itemOf(file: string, wait: () => Promise<void>): Promise<FileItem> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new Fault("QUERY_INVALID", "cannot be read", { cause });
  });
  const item: FileItem = {
    file,
    controlId: readMsh(bytes).controlId,
    size: bytes.length,
    started: 0,
    body: async function* () {
      await wait();
      item.started = performance.now();
      yield bytes;
    },
  };
  return item;
}

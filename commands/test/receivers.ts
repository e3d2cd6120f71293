/** The HIS and PACS that houses deliver to while testing: real listeners that keep in memory what they took. */
import { createHash } from "node:crypto";
import type { Deliver, Running } from "../../connectors/connector.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { readMeta } from "../../formats/dicom.ts";
import { embeddedDocuments, readMsh } from "../../formats/hl7.ts";
import type { Config } from "../../pipeline/config.ts";

export type Receiver = {
  readonly messages: Uint8Array[];
  /** SHA-256 of every document in them. */
  readonly documents: Set<string>;
  /** SHA-256 of the data set by SOP Instance UID. */
  readonly instances: Map<string, string>;
};

type Address = { readonly host: string; readonly port: number };

/** One for each system that has connect. */
export async function startReceivers(configs: readonly Config[]): Promise<{
  readonly receivers: ReadonlyMap<string, Receiver>;
  readonly addresses: ReadonlyMap<string, Address>;
  stop(): Promise<void>;
}> {
  const receivers = new Map<string, Receiver>();
  const addresses = new Map<string, Address>();
  const running: Running[] = [];
  const context = { log: () => undefined, signal: new AbortController().signal };
  const host = "127.0.0.1";
  const put = (name: string, receiver: Receiver, listener: Running): void => {
    running.push(listener);
    receivers.set(name, receiver);
    addresses.set(name, { host, port: Number(listener.address.slice(listener.address.lastIndexOf(":") + 1)) });
  };
  for (const { site, own } of configs) {
    for (const [system, { mllp, dicom }] of Object.entries(own.systems)) {
      const receiver: Receiver = { messages: [], documents: new Set(), instances: new Map() };
      if (mllp?.connect)
        put(
          `${site}/${system}`,
          receiver,
          await mllpSource.listen(mllpSource.options.parse({ host, port: 0 }), takeMessage(receiver), context),
        );
      if (dicom?.connect) {
        const options = dicomSource.options.parse({ host, port: 0, aeTitle: dicom.calledAeTitle });
        put(`${site}/${system}`, receiver, await dicomSource.listen(options, takeInstance(receiver), context));
      }
    }
  }
  return { receivers, addresses, stop: async () => void (await Promise.all(running.map((each) => each.stop()))) };
}

const accepted = { duplicate: false, answer: Promise.resolve({ accepted: true }) };

const takeMessage =
  (receiver: Receiver): Deliver =>
  async ({ body }) => {
    const message = await collected(body);
    receiver.messages.push(message);
    for (const { bytes } of embeddedDocuments(message, readMsh(message))) receiver.documents.add(sha256(bytes));
    return accepted;
  };

const takeInstance =
  (receiver: Receiver): Deliver =>
  async ({ body, controlId }) => {
    receiver.instances.set(controlId, dataSetSha256(await collected(body)));
    return accepted;
  };

async function collected(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
/** The File Meta Information is the sender's business (PS3.10 7.1); the data set is what must be equal. */
export const dataSetSha256 = (file: Uint8Array): string => sha256(file.subarray(readMeta(file).offset));

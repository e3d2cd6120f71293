/** HIS B and PACS B of the demo: real receivers on MLLP and C-STORE that keep what was delivered, as a HIS and a PACS do. */
import { hash } from "node:crypto";
import { mkdir, open, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Deliver, Running } from "../../connectors/connector.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { embeddedDocuments, readMsh } from "../../formats/hl7.ts";
import type { Log } from "../../log.ts";

export type Receivers = {
  readonly his: { readonly address: string; readonly folder: string };
  readonly pacs: { readonly address: string; readonly folder: string };
  stop(): Promise<void>;
};

/** Starts both, on free ports unless said; they answer AA and Success only when the file is on disk. */
export async function startReceivers(
  folder: string,
  signal: AbortSignal,
  ports = { his: 0, pacs: 0 },
): Promise<Receivers> {
  const his = join(folder, "his");
  const pacs = join(folder, "pacs");
  await Promise.all([mkdir(his, { recursive: true }), mkdir(pacs, { recursive: true })]);
  const log: Log = () => undefined;
  const host = "127.0.0.1";
  const hisRunning = await mllpSource.listen(mllpSource.options.parse({ host, port: ports.his }), keepMessage(his), {
    log,
    signal,
  });
  const pacsRunning = await dicomSource.listen(
    dicomSource.options.parse({ host, port: ports.pacs, aeTitle: "PACS_B" }),
    keepInstance(pacs),
    { log, signal },
  );
  const stop = (running: Running) => running.stop();
  return {
    his: { address: hisRunning.address, folder: his },
    pacs: { address: pacsRunning.address, folder: pacs },
    stop: async () => void (await Promise.all([hisRunning, pacsRunning].map(stop))),
  };
}

const accepted = { duplicate: false, answer: Promise.resolve({ accepted: true }) };

const keepMessage =
  (folder: string): Deliver =>
  async ({ body }) => {
    const parts: Uint8Array[] = [];
    for await (const part of body) parts.push(part);
    const message = Buffer.concat(parts);
    const facts = readMsh(message);
    for (const { bytes } of embeddedDocuments(message, facts)) {
      const sha256 = hash("sha256", bytes);
      await keep(folder, `${sha256}.cda`, one(bytes));
    }
    await keep(folder, `${facts.controlId.replaceAll(/[^A-Za-z0-9._-]/g, "_")}.hl7`, one(message));
    return accepted;
  };

const keepInstance =
  (folder: string): Deliver =>
  async ({ body, controlId }) => {
    await keep(folder, `${controlId.replaceAll(/[^0-9.]/g, "_")}.dcm`, body);
    return accepted;
  };

async function keep(folder: string, name: string, body: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = join(folder, `.${name}.${process.hrtime.bigint()}`);
  const file = await open(temporary, "w", 0o600);
  try {
    for await (const chunk of body) await file.write(chunk);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(folder, name));
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Sends what a test says, as the HIS or PACS of a house would, and reads what it was answered. */
import { on, once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { frameOf, openFramer } from "../../connectors/mllp/framer.ts";
import { Fault, reasonOf } from "../../errors.ts";
import { readHead } from "../../formats/dicom.ts";
import { documentsIn, embeddedDocuments, fieldsOf, readMsh, segments } from "../../formats/hl7.ts";
import { setFields } from "./fields.ts";
import type { House } from "./houses.ts";
import { dataSetSha256, sha256 } from "./receivers.ts";
import type { Referenced } from "./referenced.ts";
import type { Sending } from "./schema.ts";

/** What was answered to one file: MSA-1, ERR-3 and ERR-8 of a message, the C-STORE status of an instance. */
export type Answered = {
  readonly file: string;
  readonly controlId: string;
  readonly ack?: string;
  readonly err?: string;
  readonly error?: string;
  readonly status?: string;
};

/** Digests of what went out, to be found again. */
export type Sent = { readonly documents: Set<string>; readonly instances: Map<string, string> };

const answerMs = 20_000;
const maxAckBytes = 1024 * 1024;
const context = { log: () => undefined, signal: new AbortController().signal };

/** All files of one step, in order; `sent` gathers the digests. */
export async function sendAll(
  { to, files, set }: Sending,
  system: string,
  house: House,
  folder: string,
  sent: Sent,
  referenced: Pick<Referenced, "contentOf">,
): Promise<readonly Answered[]> {
  const paths = files.flatMap((file) => found(file, folder));
  const address = house.started.addresses.systems[system];
  if (address?.dicom) return await sendInstances(paths, house, system, address.dicom, sent);
  const answers: Answered[] = [];
  for (const path of paths) {
    if (!address?.mllp)
      throw new Fault("CONFIG_INVALID", `${to} listens for nothing; add mllp.listen or dicom.listen to it`);
    const message = setFields(readFileSync(path), set);
    for (const { bytes } of documentsOf(message, referenced)) sent.documents.add(sha256(bytes));
    answers.push({ file: path, ...(await exchange(message, address.mllp)) });
  }
  return answers;
}

function found(file: string, folder: string): readonly string[] {
  const paths = file.includes("*") ? globSync(resolve(folder, file)).sort() : [resolve(folder, file)];
  if (paths.length === 0) throw new Fault("CONFIG_INVALID", `${file}: no such file`);
  return paths;
}

function documentsOf(
  message: Uint8Array,
  { contentOf }: Pick<Referenced, "contentOf">,
): readonly { readonly bytes: Uint8Array }[] {
  try {
    const facts = readMsh(message);
    const documents = embeddedDocuments(message, facts).flatMap((each) => {
      const content = each.kind === "reference" ? contentOf(Buffer.from(each.bytes).toString("utf8")) : undefined;
      return content ? documentsIn(each.obx, content, facts) : [each];
    });
    return documents.filter(({ kind }) => kind === "cda");
  } catch {
    // It is sent all the same: what a broken message is answered may be what the test asks.
    return [];
  }
}

/** One message on a connection of its own, and its acknowledgement. */
async function exchange(message: Uint8Array, address: string): Promise<Omit<Answered, "file">> {
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(address) ?? [];
  const socket = connect(Number(port), host);
  const framer = openFramer(maxAckBytes);
  const limit = AbortSignal.timeout(answerMs);
  try {
    await once(socket, "connect", { signal: limit });
    socket.write(frameOf(message));
    for await (const [chunk] of onData(socket, limit)) {
      for (const frame of framer.push(chunk)) if (frame.kind === "message") return readAnswer(frame.bytes);
    }
  } catch (thrown) {
    throw new Fault("PEER_UNREACHABLE", "the message got no acknowledgement", { cause: thrown });
  } finally {
    socket.destroy();
  }
  throw new Fault("PEER_UNREACHABLE", "the connection was closed without an acknowledgement");
}

async function* onData(socket: Socket, signal: AbortSignal): AsyncGenerator<readonly [Buffer]> {
  for await (const data of on(socket, "data", { signal, close: ["end", "close"] })) yield data as [Buffer];
}

function readAnswer(ack: Uint8Array): Omit<Answered, "file"> {
  const facts = readMsh(ack);
  let answer: { ack: string; controlId: string; err?: string; error?: string } = { ack: "", controlId: "" };
  for (const segment of segments(ack)) {
    const fields = fieldsOf(segment, facts);
    if (segment.name === "MSA") answer = { ...answer, ack: fields[1] ?? "", controlId: fields[2] ?? "" };
    if (segment.name === "ERR")
      answer = {
        ...answer,
        err: fields[3]?.split("^")[0] ?? "",
        error: /^[A-Z_0-9]+/.exec(fields[8] ?? fields[7] ?? "")?.[0] ?? "",
      };
  }
  return answer;
}

async function sendInstances(
  paths: readonly string[],
  house: House,
  system: string,
  address: string,
  sent: Sent,
): Promise<readonly Answered[]> {
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(address) ?? [];
  const dicom = house.config.own.systems[system]?.dicom;
  const callingAeTitle = dicom?.callers[0]?.aeTitle ?? "TEST_SCU";
  const options = dicomDestination.options.parse({
    host,
    port: Number(port),
    callingAeTitle,
    calledAeTitle: dicom?.aeTitle,
  });
  const byUid = new Map<string, Answered>();
  const items = paths.map((path): DicomItem => {
    const bytes = readFileSync(path);
    const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readHead(bytes);
    sent.instances.set(sopInstanceUid, dataSetSha256(bytes));
    byUid.set(sopInstanceUid, { file: path, controlId: sopInstanceUid });
    return { controlId: sopInstanceUid, size: bytes.length, sopClassUid, transferSyntaxUid, body: () => each([bytes]) };
  });
  try {
    await dicomDestination.send(
      options,
      each(items),
      ({ controlId }, outcome) => {
        const status = "detail" in outcome ? (outcome.detail ?? "") : outcome.state;
        byUid.set(controlId, { file: byUid.get(controlId)?.file ?? "", controlId, status });
      },
      context,
    );
  } catch (thrown) {
    throw new Fault("PEER_REFUSED", `the association with ${system}: ${reasonOf(thrown)}`, { cause: thrown });
  }
  return [...byUid.values()];
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

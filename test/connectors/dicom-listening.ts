/** A DICOM listener of ours that keeps digests of what it gets, and our own sender on the other side. */
import { afterEach } from "vitest";
import type { Deliver, Outcome } from "../../connectors/connector.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { dataSetSha256 } from "../sites.ts";

export const context = { log: () => undefined, signal: new AbortController().signal };
export const stops: (() => unknown)[] = [];
/** For the tests of the file that calls this. */
export function stopAfterEach(): void {
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
}

/** `told`: what is logged, as event, code and reason. */
export type Listening = { readonly port: number; readonly kept: Map<string, string>; readonly told: string[] };

export async function listening(answer?: Deliver, options = {}): Promise<Listening> {
  const kept = new Map<string, string>();
  const told: string[] = [];
  const keep: Deliver = async ({ body, controlId }) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    kept.set(controlId, dataSetSha256(Buffer.concat(pieces)));
    return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
  };
  const source = await dicomSource.listen(
    dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", ...options }),
    answer ?? keep,
    { ...context, log: (event, { code, reason } = {}) => void told.push(`${event} ${code}: ${reason}`) },
  );
  stops.push(() => source.stop());
  return { port: Number(source.address.split(":")[1]), kept, told };
}

export const settings = (port: number, change = {}) =>
  dicomDestination.options.parse({
    host: "127.0.0.1",
    port,
    callingAeTitle: "PACS_A",
    calledAeTitle: "SEMRS_A",
    ...change,
  });
export const itemOf = (bytes: Uint8Array): DicomItem => dicomItem(bytes, 10_007);
export async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
export async function send(port: number, files: readonly Uint8Array[], change = {}): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  await dicomDestination.send(
    settings(port, change),
    each(files.map(itemOf)),
    (item, outcome) => outcomes.set(item.controlId, outcome),
    context,
  );
  return outcomes;
}

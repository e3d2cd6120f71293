/** One pass of an instance from the socket through the inspector and the cipher into a sealed blob. */
import type { Arrival } from "../connectors/connector.ts";
import { sealPart } from "../envelope/index.ts";
import { Fault, orFault } from "../errors.ts";
import { type DicomFacts, inspectDicom } from "../formats/dicom.ts";
import type { DicomFinding } from "../formats/dicom-iod.ts";
import type { Id, Item, Store, TakenBlob } from "../store/store.ts";
import { givenBack } from "./message-blob.ts";
import { recordsWith } from "./returned.ts";
import type { Site } from "./site.ts";

export type ReceivedInstance = {
  /** Being written: who keeps the instance waits until it is durable. */
  readonly blob: TakenBlob;
  /** Octets. */
  readonly size: number;
  /** What the instance says of itself, or why it is none that can be taken. */
  readonly facts: DicomFacts | Fault;
  readonly findings: readonly DicomFinding[];
  /** What was here of its SOP Instance UID when its last octet came. */
  readonly met: Met;
};

/** What is here of a SOP Instance UID: other instances, a note that rejected it before it came, other houses' records. `version` of the store that said so. */
export type Met = {
  readonly known: readonly Item[];
  readonly rejection: ReturnType<Store["studies"]["rejection"]>;
  /** Records of other houses that have an instance of this UID. */
  readonly elsewhere: readonly Id[];
  readonly version: number;
};

/** Looks it up. */
export const metBy = ({ store }: Pick<Site, "store">, sopInstanceUid: string): Met =>
  store.reading(() => ({
    known: store.items.byKey("instance", sopInstanceUid),
    rejection: store.studies.rejection(sopInstanceUid),
    elsewhere: recordsWith({ store }, sopInstanceUid),
    version: store.version(),
  }));

/**
 * Takes the octets in. What turns out to be no instance is still taken to its end, for a person to look at. TOO_LARGE over
 * the house's limit, with nothing of it kept. Rejects with what the body rejects with (an instance whose association ended was never whole), or the store does.
 */
export async function receiveInstance(
  { store, config }: Site,
  arrival: Arrival,
  refused?: Fault,
): Promise<ReceivedInstance> {
  const inspector = inspectDicom();
  let facts: DicomFacts | Fault | undefined = arrival.fault ?? refused;
  const inspect = (read: () => DicomFacts | undefined): void => {
    facts ??= orFault(read);
  };
  const fail = (thrown: unknown): void =>
    inspect(() => {
      throw thrown;
    });
  const push = (chunk: Uint8Array | null): void | Promise<void> => {
    if (facts) return;
    try {
      return (chunk ? inspector.push(chunk) : inspector.ended())?.catch(fail);
    } catch (thrown) {
      fail(thrown);
    }
  };
  const part = sealPart(arrival.body, "segments", config.own.limits.instance, push);
  let met: Met = { known: [], rejection: undefined, elsewhere: [], version: Number.NaN };
  const isNew = (): boolean => {
    inspect(inspector.finish);
    if (!facts || facts instanceof Fault) return false;
    met = metBy({ store }, facts.sopInstanceUid);
    return met.known.length === 0;
  };
  const blob = await store.blobs.take(givenBack(part.cipher), part.facts, isNew);
  facts ??= new Fault("DICOM_INVALID", "the instance ended before its data set");
  const findings = facts instanceof Fault ? [] : inspector.findings();
  return { blob, size: part.facts().size, facts, findings, met };
}

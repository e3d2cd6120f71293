/** Instances of other houses' records that our PACS sends back: known by UID, never sealed as ours (decision 42). */
import { failureReasons, type Reference } from "../connectors/dicom/commitment.ts";
import { codeOf } from "../errors.ts";
import { readHead } from "../formats/dicom.ts";
import type { Change, Id } from "../store/store.ts";
import { clearHead } from "./clear.ts";
import { partOf } from "./deliver.ts";
import type { ReceivedFacts } from "./open.ts";
import type { Site } from "./site.ts";

/** In the ledger: SOP Instance UID and record of every instance that came from another house. */
const ledger = "received instance";

/** Noted in the commit that keeps their record, before a PACS has any of them. */
export const receivedInstances = (
  { store, now }: Site,
  record: Id,
  instances: ReceivedFacts["instances"],
): readonly Change[] =>
  instances.length === 0
    ? []
    : [
        store.messages.tookAll(
          ledger,
          instances.map(({ sopInstanceUid }) => `${sopInstanceUid} ${record}`),
          now().toISOString(),
        ),
      ];

/** Records of other houses that have an instance of this UID, whatever else they say of it. */
export const recordsWith = ({ store }: Pick<Site, "store">, sopInstanceUid: string): readonly Id[] =>
  store.messages.takenUnder(ledger, sopInstanceUid);

type Named = { readonly sopInstanceUid: string; readonly sopClassUid: string };

/**
 * The record whose instance this is: one of the same class and study. Its octets are seldom the same, since it went to the PACS with our
 * identity, and a PACS writes its own into what it sends. Undefined where a UID was used twice, or nothing is left to compare with.
 */
export async function returnedOf(
  site: Site,
  records: readonly Id[],
  { sopInstanceUid, sopClassUid, studyInstanceUid }: Named & { readonly studyInstanceUid: string },
): Promise<Id | undefined> {
  for (const id of records) {
    const head = await keptHead(site, id, sopInstanceUid);
    if (head?.studyInstanceUid === studyInstanceUid && head.sopClassUid === sopClassUid) return id;
  }
  return undefined;
}

/** Storage commitment of what another house's record has: null where it lies here, else the Failure Reason (PS3.3 C.14.1.1). */
export async function failureOfReceived(
  site: Site,
  { sopInstanceUid, sopClassUid }: Reference,
): Promise<number | null> {
  let failure: number = failureReasons.noSuchInstance;
  for (const id of recordsWith(site, sopInstanceUid)) {
    const head = await keptHead(site, id, sopInstanceUid);
    if (head?.sopClassUid === sopClassUid) return null;
    if (head) failure = failureReasons.classInstanceConflict;
  }
  return failure;
}

/** What an instance of a record says of itself; undefined where its retention is over, its patient erased, or it cannot be read. */
async function keptHead(site: Site, id: Id, sopInstanceUid: string) {
  try {
    const record = site.store.records.find(id);
    const named = (record?.entry as ReceivedFacts | undefined)?.instances.find(
      (each) => each.sopInstanceUid === sopInstanceUid,
    );
    return record && named && readHead(await clearHead(site, partOf(record, named.n)));
  } catch (thrown) {
    site.log("source.uncompared", { message: id, code: codeOf(thrown) }, "warn");
    return undefined;
  }
}

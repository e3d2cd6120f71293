/** Rejection notes (IHE RAD TF-1 IOCM, RAD-66): a PACS says that instances are not to be used, and why. */
import { codeOf, Fault } from "../errors.ts";
import type { DicomFacts } from "../formats/dicom.ts";
import { type KeyObjects, keyObjectSelection, maxKeyObjectsBytes, readKeyObjects } from "../formats/key-objects.ts";
import type { Change, Item } from "../store/store.ts";
import { letGo } from "./assemble.ts";
import { clear } from "./clear.ts";
import { type Site, step } from "./site.ts";

type Meaning = {
  readonly reason: string;
  /** Instances that come after their note are rejected too. */
  readonly stopsLater: boolean;
  /** The houses that have the instances are told. */
  readonly travels: boolean;
};

/** Titles of rejection notes (PS3.16 CID 7011, scheme DCM). How long images are kept is each house's own policy. */
export const rejections: ReadonlyMap<string, Meaning> = new Map([
  ["113001", { reason: "rejected for quality (113001)", stopsLater: true, travels: true }],
  ["113037", { reason: "rejected for patient safety (113037)", stopsLater: true, travels: true }],
  ["113038", { reason: "rejected, wrong worklist entry (113038)", stopsLater: true, travels: true }],
  ["113039", { reason: "its retention at the PACS expired (113039)", stopsLater: false, travels: false }],
]);

/** Code of an instance that a note rejected, and of a note that was acted on. */
export const rejected = "REJECTED";
const noteOf = "REJECTION_NOTE";

/** Whether an instance is a key object selection (PS3.3 A.35.4), as every rejection note is. */
export const isKeyObjects = ({ facts }: Item): boolean => (facts as DicomFacts).sopClassUid === keyObjectSelection;

/** What becomes of what a note names: `stops` has not left, `gone` has. Instances of another study than the note says are left alone. */
export function judge(
  named: readonly Item[],
  { references }: KeyObjects,
): { stops: readonly Item[]; gone: readonly Item[] } {
  const studyOf = new Map(references.map(({ sopInstanceUid, studyInstanceUid }) => [sopInstanceUid, studyInstanceUid]));
  const meant = named.filter(({ key, facts }) => studyOf.get(key) === (facts as DicomFacts).studyInstanceUid);
  return {
    stops: meant.filter(({ state }) => state === "waiting" || state === "held"),
    gone: meant.filter(({ state }) => state === "sealed"),
  };
}

/**
 * Acts on a key object selection, once; resolves with whether anything was rejected. A note about instances that have gone
 * stays to follow them as an addendum, any other ends here.
 */
export async function actOnNote(site: Site, note: Item): Promise<boolean> {
  const { store } = site;
  if (note.state !== "waiting" || note.code === noteOf) return false;
  // One that was held behind what it said, and let go, said it.
  if (note.code === letGo && store.steps.of([note.id]).some(({ code }) => code === noteOf)) return false;
  const objects = await read(site, note);
  const meaning = objects?.title.scheme === "DCM" ? rejections.get(objects.title.code) : undefined;
  if (!objects || !meaning) return false;
  const named = objects.references.flatMap(({ sopInstanceUid }) => store.items.byKey("instance", sopInstanceUid));
  const { stops, gone } = judge(named, objects);
  const isTold = meaning.travels && gone.length > 0;
  const { reason } = meaning;
  const detail = `${objects.references.length} named, ${stops.length} not sealed, ${gone.length} sealed before`;
  await store.commit([
    ...(meaning.stopsLater
      ? objects.references.map(({ sopInstanceUid }) => store.studies.reject(sopInstanceUid, note.id, reason))
      : []),
    ...stopping(site, stops, reason),
    ...(meaning.travels ? gone.map(({ id }) => store.items.mark(id, { code: rejected, reason })) : []),
    store.items.mark(note.id, {
      ...(isTold ? {} : { state: "discarded" as const }),
      code: noteOf,
      reason: isTold ? `${detail}; it follows them as an addendum` : detail,
    }),
    step(site, note.id, "assemble", "rejected", { code: noteOf, detail: `${reason}: ${detail}` }),
    ...records(gone).map((record) =>
      step(site, record, "assemble", "rejected", { code: rejected, detail: `${reason}: ${detail}` }),
    ),
  ]);
  // Images that other houses have are not to be used: somebody must know.
  const fields = { channel: note.channel, message: note.id, code: rejected, reason: `${reason}: ${detail}` };
  site.log("assemble.rejected", { ...fields, count: stops.length + gone.length }, isTold ? "error" : "warn");
  return true;
}

/**
 * The last look at instances before they leave: one that was on its way to the disk together with its note was not seen by it, and
 * did not see it; and a note may be here that nobody has read, since the house ended or others had their turn. What is rejected ends
 * now; resolves with whether any did.
 */
export async function stopRejected(site: Site, leaving: readonly Item[]): Promise<boolean> {
  const { store } = site;
  for (const note of leaving.filter(isKeyObjects)) if (await actOnNote(site, note)) return true;
  const named = leaving.flatMap((item) => {
    const rejection = item.state === "waiting" ? store.studies.rejection(item.key) : undefined;
    return rejection ? [{ ...rejection, item }] : [];
  });
  let count = 0;
  for (const [id, of] of Map.groupBy(named, ({ note }) => note)) {
    const note = store.items.find(id);
    const reason = of[0]?.reason ?? "";
    // Without its octets nobody can tell which study it meant.
    const objects = await readNote(site, note);
    const { stops } = objects
      ? judge(
          of.map(({ item }) => item),
          objects,
        )
      : { stops: [] };
    if (!note || stops.length === 0) continue;
    await store.commit(stopping(site, stops, reason));
    const fields = { channel: note.channel, message: note.id, code: rejected, reason, count: stops.length };
    site.log("assemble.rejected", fields, "warn");
    count += stops.length;
  }
  return count > 0;
}

/**
 * Whether the note that rejects a SOP Instance UID means an instance of another study. A note is of the study that it is about, so that
 * it is seldom read for this; nobody can tell without its octets.
 */
export async function meansAnother(site: Site, id: string, facts: DicomFacts): Promise<boolean> {
  const note = site.store.items.find(id);
  const { sopInstanceUid, studyInstanceUid } = facts;
  if (!note || (note.facts as DicomFacts).studyInstanceUid === studyInstanceUid) return false;
  const named = (await readNote(site, note))?.references.filter((each) => each.sopInstanceUid === sopInstanceUid);
  return named?.every((each) => each.studyInstanceUid !== studyInstanceUid) ?? false;
}

const readNote = async (site: Site, note: Item | undefined): Promise<KeyObjects | undefined> =>
  note && note.blob !== "" ? await read(site, note) : undefined;

const stopping = (site: Site, stops: readonly Item[], reason: string): readonly Change[] =>
  stops.flatMap(({ id }) => [
    site.store.items.mark(id, { state: "discarded", code: rejected, reason }),
    step(site, id, "assemble", "rejected", { code: rejected, detail: reason }),
  ]);

const records = (items: readonly Item[]): readonly string[] => [
  ...new Set(items.flatMap(({ record }) => record ?? [])),
];

/** A selection that cannot be read is an instance like any other. */
async function read(site: Site, note: Item): Promise<KeyObjects | undefined> {
  const { size } = site.store.blobs.facts(note.blob);
  try {
    if (size > maxKeyObjectsBytes) throw new Fault("TOO_LARGE", "over the limit of a key object selection");
    return readKeyObjects(await clear(site, note.blob));
  } catch (thrown) {
    const code = codeOf(thrown);
    if (code !== "DICOM_INVALID" && code !== "TOO_LARGE") throw thrown;
    site.log("assemble.warned", { channel: note.channel, message: note.id, code }, "warn");
    return undefined;
  }
}

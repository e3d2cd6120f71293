/** What joins a document and its study: the Study Instance UID; an accession number where it means something. */
import { isMeaningful } from "../formats/accession.ts";
import type { DicomFacts } from "../formats/dicom.ts";
import type { Item, Tokens } from "../store/store.ts";

type Rules = { readonly by: readonly string[]; readonly ignoreAccessionNumbers?: readonly string[] };

/** The study UIDs in clear, the meaningful accession numbers as tokens. */
export function joinsOf(
  tokens: Tokens,
  { by, ignoreAccessionNumbers }: Rules,
  studies: readonly string[],
  accessions: readonly string[],
): readonly string[] {
  return [
    ...(by.includes("studyUid") ? studies.map((uid) => `study:${uid}`) : []),
    ...(by.includes("accessionNumber")
      ? accessions
          .filter((value) => isMeaningful(value, ignoreAccessionNumbers))
          .map((value) => `accession:${tokens.of("reference", "accession", value)}`)
      : []),
  ];
}

/** A shared study UID is enough; a shared accession number only with an equal patient id, since numbers are reused. */
const belongs = (document: Item, instance: Item): boolean =>
  isByUid(document, instance) || (shares(document, instance, "accession:") && samePatient(document, instance));

const samePatient = (document: Item, instance: Item): boolean =>
  instance.patients.some((token) => document.patients.includes(token));

/** The instance names a patient, and none of the document's. */
export const contradicts = (document: Item, instance: Item): boolean =>
  instance.patients.length > 0 && !samePatient(document, instance);

/** The instances that join a document, and whether an accession number leads to more than can be meant. */
export type Joined = { readonly instances: readonly Item[]; readonly isAmbiguous: boolean };

/**
 * A study that the document names by UID (or that has gone with it, `isSettled`) says which day is meant: an accession
 * number adds studies of that day alone. Without one, a number that leads to studies of different days was used twice,
 * and nobody can tell which is meant.
 */
export function joinedTo(
  document: Item,
  candidates: readonly Item[],
  isSettled: (instance: Item) => boolean = () => false,
): Joined {
  const all = candidates.filter((instance) => belongs(document, instance));
  const certain = all.filter((instance) => isByUid(document, instance) || isSettled(instance));
  const days = new Set(certain.map(dayOf));
  if (certain.length > 0)
    return {
      instances: all.filter((instance) => isByUid(document, instance) || days.has(dayOf(instance))),
      isAmbiguous: false,
    };
  return { instances: all, isAmbiguous: new Set(all.map(dayOf)).size > 1 };
}

/** Study Date, empty where there is none: what has no date is of no day that is known. */
const dayOf = ({ facts }: Item): string => (facts as DicomFacts).studyDate ?? "";
const isByUid = (document: Item, instance: Item): boolean => shares(document, instance, "study:");

const shares = (document: Item, instance: Item, kind: "study:" | "accession:"): boolean =>
  instance.joins.some((join) => join.startsWith(kind) && document.joins.includes(join));

/** Of documents that have gone, the one that a late instance is appended to: one that names its study, then the newest. */
export function appendsTo(documents: readonly Item[], instance: Item): Item | undefined {
  const all = documents.filter((document) => belongs(document, instance));
  return all.findLast((document) => isByUid(document, instance)) ?? all.at(-1);
}

/** Study Instance UIDs among joins. */
export const studiesOf = (items: readonly Item[]): readonly string[] => [
  ...new Set(
    items.flatMap(({ joins }) => joins.filter((join) => join.startsWith("study:")).map((join) => join.slice(6))),
  ),
];

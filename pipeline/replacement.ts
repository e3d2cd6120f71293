/** Corrected instances under UIDs that were kept before (decision 7): held as one matter a study until a person replaces or discards; and what gives way to what comes again. */
import { Fault } from "../errors.ts";
import type { BlobName, Change, Item } from "../store/store.ts";
import { letGo, replaces } from "./assemble.ts";
import { studiesOf } from "./joins.ts";
import { rejected } from "./rejection-note.ts";
import { ledgers } from "./remembered.ts";
import { type Site, step } from "./site.ts";

/** Code of an instance that a corrected one stands for now. */
export const replaced = "REPLACED";
/** Code of a corrected instance that waits for a person to decide. */
export const conflict = "DICOM_CONFLICT";

/** What one decision of a person is about: a document, or all instances of a study that wait or are held for the same reason. */
export function matterOf({ store }: Site, item: Item): readonly Item[] {
  const [study] = studiesOf([item]);
  if (item.kind !== "instance" || !study) return [item];
  return store.items
    .joined("instance", [`study:${study}`])
    .filter(({ state, code }) => state === item.state && code === item.code);
}

/** What was rejected or replaced has gone once and goes with nothing else. */
export const travels = ({ state, code }: Item): boolean =>
  state === "waiting" || (state === "sealed" && code !== rejected && code !== replaced);

export type Replacement = {
  /** They travel now; `follows` where the one before has left already. */
  readonly goes: readonly { readonly item: Item; readonly follows: boolean }[];
  /** Nothing more becomes of them. */
  readonly ends: readonly Item[];
};

/** Of each UID the newest held instance goes; what else is held or waits under it ends, and what has left stays as it is. */
export function replace(held: readonly Item[], keptOf: (key: string) => readonly Item[]): Replacement {
  const newest = new Map(held.toSorted((one, other) => one.id.localeCompare(other.id)).map((item) => [item.key, item]));
  const others = [...newest.values()].flatMap(({ key, id }) => keptOf(key).filter((each) => each.id !== id));
  const left = new Set(others.filter(({ state }) => state === "sealed").map(({ key }) => key));
  return {
    goes: [...newest.values()].map((item) => ({ item, follows: left.has(item.key) })),
    ends: others.filter(({ state }) => state === "waiting" || state === "held"),
  };
}

/** The changes that let held instances stand for those that were kept before, and who waits again. */
export function replacing(
  site: Site,
  held: readonly Item[],
  reason: string,
): { readonly changes: readonly Change[]; readonly waiting: readonly Item[] } {
  const { store, now } = site;
  if (held.some(({ code }) => code !== conflict))
    throw new Fault("QUERY_INVALID", "only instances held as DICOM_CONFLICT replace others; release without --replace");
  const { goes, ends } = replace(held, (key) => store.items.byKey("instance", key));
  const since = now().toISOString();
  const waiting = goes.map(
    ({ item, follows }): Item => ({ ...item, state: "waiting", code: follows ? replaces : null, reason: null, since }),
  );
  return {
    changes: [
      // What has left meanwhile has not ended, and is to be named.
      ...[...Map.groupBy(ends, ({ state }) => state)].map(([state, all]) =>
        store.items.are(
          all.map(({ id }) => id),
          state,
        ),
      ),
      ...ends.flatMap(({ id }) => [
        store.items.mark(id, { state: "discarded", code: replaced, reason: "a corrected instance stands for it" }),
        step(site, id, "admin", "replaced", { code: replaced, detail: reason }),
      ]),
      ...waiting.flatMap(({ id, state, code }) => [
        store.items.mark(id, { state, code, reason: null, since }),
        step(site, id, "admin", "released", { code, detail: reason }),
      ]),
    ],
    waiting,
  };
}

/** An item that was discarded and is sent again, octet for octet, leaves its place in the index to the new one. */
export const displaced = ({ store }: Site, { kind, key, digest }: Item): readonly Change[] =>
  store.items
    .byKey(kind, key)
    .filter((item) => item.state === "discarded" && item.digest === digest)
    .map(({ id }) => store.items.mark(id, { digest: store.tokens.of("digest", "discarded", id) }));

/** An instance that is not to be used any more, by its UID and the digest of the bytes that are meant. */
export type Superseded = { readonly sop: string; readonly digest: string };

/** What sealed instances the corrected ones among these stand for: named in the addendum, and marked with its commit. */
export function supersededBy(
  site: Site,
  instances: readonly Item[],
): { readonly names: readonly Superseded[]; readonly changes: readonly Change[] } {
  const { store } = site;
  const before = instances.flatMap((instance) => standsFor(site, instance));
  return {
    names: before.map(({ key, blob }) => ({ sop: key, digest: digestOf(store.blobs.facts(blob)) })),
    changes: before.map(({ id }) =>
      store.items.mark(id, { code: replaced, reason: "a corrected instance followed it" }),
    ),
  };
}

/** What a corrected instance that waits stands for. One that was held for its patient, or for being late, and let go is corrected all the same. */
export const standsFor = (site: Site, instance: Item): readonly Item[] =>
  instance.state === "waiting" && (instance.code === replaces || instance.code === letGo)
    ? goneBefore(site, instance)
    : [];

/** What has gone under the UID of an instance that has not. */
export const goneBefore = ({ store }: Site, { key, id }: Item): readonly Item[] =>
  store.items.byKey("instance", key).filter((each) => each.id !== id && each.state === "sealed");

/** The digest of record of a part: a segmented one's root, else its SHA-256, hex. */
const digestOf = ({ root, sha256 }: { root: string | null; sha256: string | null }): string => root ?? sha256 ?? "";

/** In the delivery ledger: not to be delivered any more, in whichever of its author's records it comes and in whichever order they do. */
const supersededKey = ({ store }: Site, author: string, { sop, digest }: Superseded): string =>
  `${author} ${sop} ${store.tokens.of("digest", "", digest)}`;

/** An instance that its author has replaced. */
export const supersede = (site: Site, author: string, each: Superseded): Change =>
  site.store.messages.took(ledgers.superseded, supersededKey(site, author, each), site.now().toISOString());

/** Whether an instance that is to be delivered was replaced by its author. */
export const isSuperseded = (site: Site, author: string, sop: string, blob: BlobName): boolean =>
  site.store.messages.hasTaken(
    ledgers.superseded,
    supersededKey(site, author, { sop, digest: digestOf(site.store.blobs.facts(blob)) }),
  );

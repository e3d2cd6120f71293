/** Which documents were cancelled, remembered by their id, or by a name until the report that it is of has come. */
import type { Change, Item, Token } from "../store/store.ts";
import { ledgers } from "./remembered.ts";
import type { Site } from "./site.ts";

const ledger = ledgers.cancelled;

/** Whether a document was cancelled before it came. */
export const isCancelled = ({ store }: Site, names: readonly string[]): boolean =>
  names.some((name) => store.messages.hasTaken(ledger, name));

/** A document, or a name of one, is cancelled. */
export const remembered = ({ store, now }: Site, key: Token): Change =>
  store.messages.took(ledger, key, now().toISOString());

/** The report that a cancellation was ahead of has come: from now on it is that document, and its name may be used anew. */
export const meeting = (site: Site, key: string, names: readonly string[]): readonly Change[] => [
  remembered(site, key),
  ...names.map((name) => site.store.messages.forgot(ledger, name)),
];

/** Fails with STORE_CONFLICT where a document was cancelled by the time this is committed: nothing of it, or behind it, leaves. */
export const isStanding = ({ store }: Site, { key }: Item): Change => store.messages.hasNotTaken(ledger, key);

/** Opens a site's store: lock, keys, database, accept journal, blobs. */
import { join } from "node:path";
import { readJournal } from "./accept-journal.ts";
import { openAlerts } from "./alerts.ts";
import { openAuditPruning } from "./audit-anchor.ts";
import { openAuditLog } from "./audit-log.ts";
import { openBelieved } from "./believed.ts";
import { openBlobs } from "./blobs.ts";
import { openChecks } from "./checks.ts";
import { openCommitments } from "./commitments.ts";
import { openConsents } from "./consents.ts";
import { afterCrash, newestWaiting, openDeliveries } from "./deliveries.ts";
import { drawn } from "./drawn.ts";
import { openEmergencies } from "./emergencies.ts";
import { openEntries } from "./entries.ts";
import { keysOf } from "./folder-key.ts";
import { openArrivals, openItems } from "./journal.ts";
import { openKept } from "./kept.ts";
import { openKeptArrivals } from "./kept-arrivals.ts";
import { openKeptItems } from "./kept-items.ts";
import { openCursors, type StorageKeys } from "./keys.ts";
import { openLegacy } from "./legacy.ts";
import { lockFolder } from "./lock.ts";
import { openMerges } from "./merges.ts";
import { openMessages } from "./messages.ts";
import { type House, ownedBy } from "./owner.ts";
import { openPatientKeys } from "./patient-keys.ts";
import { openPatterns, type Patterns } from "./patterns.ts";
import { openFolder } from "./permitted.ts";
import { openRecords } from "./records.ts";
import { openRelations } from "./relations.ts";
import { openReserve } from "./reserve.ts";
import { idSource } from "./rows.ts";
import { openScans } from "./scans.ts";
import { openSearch } from "./search.ts";
import { openSignedHeads } from "./signed-heads.ts";
import { type Database, openDatabase } from "./sqlite.ts";
import { openSteps } from "./steps.ts";
import { openStops } from "./stops.ts";
import type { Store } from "./store.ts";
import { openStudies } from "./studies.ts";
import { openWitnesses } from "./witnesses.ts";

export type StoreOptions = {
  /** The data folder; made with mode 0700 if it is not there. */
  readonly folder: string;
  /** 32 octets from outside the data folder. */
  readonly key: Uint8Array;
  /** Whose folder it is: asked of a house that begins to work in it. */
  readonly house?: House;
  readonly now: () => Date;
  /** The disk reserve: with less than this free, nothing more is accepted. */
  readonly minFreeBytes?: number;
  /** Size of the file that is given up when others have filled the reserve; 0: none. */
  readonly ballastBytes?: number;
};

const defaultMinFreeBytes = 64 * 1024 * 1024;

/** ALREADY_RUNNING, CONFIG_INVALID (another key, a newer format) or STORE_DAMAGED say why a store does not open. */
export async function openStore({
  folder,
  key,
  house,
  now,
  minFreeBytes = defaultMinFreeBytes,
  ballastBytes = 0,
}: StoreOptions): Promise<Store> {
  openFolder(folder);
  const unlock = lockFolder(folder);
  let db: Database | undefined;
  try {
    const reserve = openReserve(folder, minFreeBytes, ballastBytes);
    db = openDatabase(folder, reserve);
    const { keys, changes: first } = keysOf(db, key, folder);
    const blobs = openBlobs(folder, db, keys);
    const patterns = openPatterns(db, keys, now);
    const tables = openTables(db, keys, now, patterns);
    const { arrivals } = tables;
    const isKept = (id: string): boolean => arrivals.find(id) !== undefined;
    const { missing, owed, head } = readJournal(join(folder, "accept.journal"), db.checkpoint, isKept);
    db.begin(head, owed);
    const database = db;
    const owned = house ? ownedBy(house, database, keys, folder) : [];
    await database.commit([...first, ...owned, afterCrash]);
    return {
      commit: async (changes, ...more) => {
        await database.commit(changes, ...more);
        blobs.tidy(changes);
      },
      reading: database.reading,
      version: database.version,
      failed: database.failed,
      newId: idSource(now, drawn, newestWaiting(db)),
      cursors: openCursors(keys),
      blobs,
      ...tables,
      kept: openKept(db, keys, folder),
      keptArrivals: openKeptArrivals(db),
      keptItems: openKeptItems(db, keys),
      scans: openScans(db, join(folder, "semrs.db")),
      checks: openChecks(db, keys, patterns, tables.patientKeys, folder),
      reserve,
      missing: missing.map(({ id, digest }) => ({ id, digest })),
      close: async () => {
        await database.close();
        blobs.close();
        unlock();
      },
    };
  } catch (thrown) {
    await db?.close();
    unlock();
    throw thrown;
  }
}

/** What the rows of a database are to the rest: everything of a store that is neither a file nor a thread. */
export function openTables(
  db: Database,
  keys: StorageKeys,
  now: () => Date,
  patterns: Patterns = openPatterns(db, keys, now),
) {
  const patientKeys = openPatientKeys(db, keys, idSource(now));
  return {
    tokens: keys.tokens,
    arrivals: openArrivals(db, keys, now),
    items: openItems(db, keys),
    studies: openStudies(db),
    commitments: openCommitments(db, keys),
    records: openRecords(db, keys, patterns),
    deliveries: openDeliveries(db, keys),
    messages: openMessages(db, keys, patterns),
    entries: openEntries(db, keys, patientKeys),
    merges: openMerges(db, keys),
    relations: openRelations(db, keys),
    consents: openConsents(db, keys),
    legacy: openLegacy(db),
    steps: openSteps(db),
    alerts: openAlerts(db),
    emergencies: openEmergencies(db),
    audit: openAuditLog(db, patientKeys, now),
    auditPruning: openAuditPruning(db),
    patientKeys,
    witnesses: openWitnesses(db, now),
    signedHeads: openSignedHeads(db),
    stops: openStops(db),
    believed: openBelieved(db),
    search: openSearch(db),
  };
}

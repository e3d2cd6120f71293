/**
 * Keys of patients, one each, wrapped under the site's: to erase a patient's is to erase whatever was sealed under it, wherever its
 * octets lie (decision 30). What is sealed names the key by an id, which says nothing of the patient once the key is gone.
 */
import { createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { openUnder, sealUnder } from "./cipher.ts";
import type { StorageKeys } from "./keys.ts";
import { text } from "./rows.ts";
import { change, type Database, overwriting, type Row } from "./sqlite.ts";
import type { Change, Id, Token } from "./store.ts";

export type PatientKeys = {
  /** AES-256-GCM under the patient's key, `where` authenticated. `changes` are committed with what was sealed: they keep a new key. */
  seal(
    patient: Token,
    where: string,
    clear: Uint8Array,
  ): { readonly key: string; readonly sealed: Uint8Array; readonly changes: readonly Change[] };
  /** Undefined when the key was erased, or the value is not what was sealed. */
  open(key: string, where: string, sealed: Uint8Array): Uint8Array | undefined;
  /** Whether the key of this id was erased: what does not open under any other was damaged. */
  isErased(key: string): boolean;
  /** The id of a patient's key, to find what was sealed under it. */
  of(patient: Token): string | undefined;
  /** Resolves when the keys are gone for good; `changes` are committed with that, and what they delete is overwritten, too. */
  erase(patients: readonly Token[], changes?: readonly Change[]): Promise<void>;
};

type Key = { readonly id: string; readonly key: KeyObject; readonly fresh: Change | null };

const [keyBytes, wrappedBytes] = [32, 40];
const maxCached = 10_000;
/** Keys that something was opened with: those of a page are mostly of one patient. */
const maxOpened = 1_000;

export function openPatientKeys(db: Database, keys: StorageKeys, newId: () => Id): PatientKeys {
  const cached = new Map<Token, Key>();
  // Drawn and not yet seen in the index: whoever seals meanwhile uses the same one.
  const drawn = new Map<Token, Key>();
  const opened = new Map<string, KeyObject>();
  const secretOf = (row: Row): KeyObject => createSecretKey(keys.unwrap(row.key as Uint8Array));

  const draw = (patient: Token): Key => {
    const [id, secret] = [newId(), randomBytes(keyBytes)];
    const fresh = change(
      "INSERT INTO patient_key (patient, id, key) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      patient,
      id,
      // Memory of its own: it is held for long, and a small Buffer holds the 64 KiB that it was cut from.
      Uint8Array.from(keys.wrap(secret)),
    );
    const made = { id, key: createSecretKey(secret), fresh };
    drawn.set(patient, made);
    // So many were drawn since that the oldest is in the index long ago, or never will be.
    const [oldest] = drawn.size > maxCached ? drawn.keys() : [];
    if (oldest !== undefined) drawn.delete(oldest);
    return made;
  };
  const keyOf = (patient: Token): Key => {
    const known = cached.get(patient);
    if (known) return known;
    const row = db.get("SELECT id, key FROM patient_key WHERE patient = ?", patient);
    if (!row) return drawn.get(patient) ?? draw(patient);
    const [id, made] = [text(row, "id"), drawn.get(patient)];
    drawn.delete(patient);
    if (cached.size >= maxCached) cached.clear();
    const kept = { id, key: made?.id === id ? made.key : secretOf(row), fresh: null };
    cached.set(patient, kept);
    return kept;
  };

  const openingOf = (id: string): KeyObject | undefined => {
    const known = opened.get(id);
    if (known) return known;
    const row = db.get("SELECT key FROM patient_key WHERE id = ? AND patient <> id", id);
    if (!row) return undefined;
    if (opened.size >= maxOpened) opened.clear();
    const secret = secretOf(row);
    opened.set(id, secret);
    return secret;
  };

  return {
    seal: (patient, where, clear) => {
      const { id, key, fresh } = keyOf(patient);
      return { key: id, sealed: sealUnder(key, `${where}\0${id}`, clear), changes: fresh ? [fresh] : [] };
    },
    open: (id, where, sealed) => {
      try {
        const key = openingOf(id);
        return key && openUnder(key, `${where}\0${id}`, sealed);
      } catch {
        return undefined;
      }
    },
    isErased: (id) => db.get("SELECT 1 FROM patient_key WHERE id = ? AND patient = id", id) !== undefined,
    of: (patient) => {
      const row = db.get("SELECT id FROM patient_key WHERE patient = ?", patient);
      return row && text(row, "id");
    },
    erase: async (patients, changes = []) => {
      await db.commit(
        overwriting([
          // Written over where it stands. The id stays, of nobody: a commit that is under way must not bring the key back.
          ...patients.map((patient) =>
            change(`UPDATE patient_key SET key = zeroblob(${wrappedBytes}), patient = id WHERE patient = ?`, patient),
          ),
          ...changes,
        ]),
      );
      opened.clear();
      for (const patient of patients) {
        cached.delete(patient);
        drawn.delete(patient);
      }
    },
  };
}

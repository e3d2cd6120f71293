/** Messages of one patient, or of one document, are judged one after the other, as they came; a message of two patients (a merge) waits for both. */
import type { MessageFacts } from "../formats/hl7.ts";
import { patientsNamed } from "../formats/hl7-merge.ts";
import { documentNamed } from "../formats/hl7-txa.ts";

export type Turn = {
  /** Resolves when everything before it that names one of its patients, or its document, has left. */
  readonly ready: Promise<unknown>;
  /** Its work is done, or there is none. */
  leave(): void;
};

const ofNobody: Turn = { ready: Promise.resolve(), leave: () => undefined };

export type PatientOrder = { enter(patients: readonly string[]): Turn };

/** Keys are what messages call their patients and documents; who has none waits for nobody. */
export function openPatientOrder(): PatientOrder {
  const last = new Map<string, Promise<unknown>>();
  return {
    enter: (patients) => {
      if (patients.length === 0) return ofNobody;
      const keys = [...new Set(patients)];
      const ready = Promise.all(keys.map((key) => last.get(key)));
      const { promise: left, resolve: leave } = Promise.withResolvers<void>();
      // Who leaves before its turn still stands between those before it and those behind it.
      const gone = Promise.all([ready, left]).then(() => {
        for (const key of keys) if (last.get(key) === gone) last.delete(key);
      });
      for (const key of keys) last.set(key, gone);
      return { ready, leave };
    },
  };
}

/** The place of a message: behind those of its patients, whom a cancellation need not name, and of its document. */
export const turnsIn =
  (order: PatientOrder) =>
  (message: Uint8Array, facts: MessageFacts, patients = patientsNamed(message, facts)): Turn =>
    order.enter([...patients, ...documentNamed(message, facts)]);

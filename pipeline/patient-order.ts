/** Messages of one patient are judged one after the other, as they came; a message of two patients (a merge) waits for both. */

export type Turn = {
  /** Resolves when everything before it that names one of its patients has left. */
  readonly ready: Promise<unknown>;
  /** Its work is done, or there is none. */
  leave(): void;
};

const ofNobody: Turn = { ready: Promise.resolve(), leave: () => undefined };

export type PatientOrder = { enter(patients: readonly string[]): Turn };

/** Keys are what messages call their patients; who has none waits for nobody. */
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

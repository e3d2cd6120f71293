/** Which associations that sent to a study are open: while one is, more of the study may come. In memory, as associations are. */
import type { Session } from "../connectors/connector.ts";

/** What is heard of studies: `at` is when the last association ended, or when this site began to listen (ms since 1970). */
export type Heard = { readonly isOpen: boolean; readonly at: number };

export type Associations = {
  /** This association sent to the study; `ended` is called once when it and all others that did are closed. */
  sends(study: string, session: Session, ended: () => void): void;
  heard(studies: readonly string[]): Heard;
  /** Forgets what ended longer ago. */
  forget(ms: number): void;
};

/**
 * `now` in milliseconds since 1970; nothing that was before it is known, so that silence begins with it. `steady` cannot be set: how
 * long it has been silent is the same by any clock.
 */
export function openAssociations(now: () => number, steady: () => number): Associations {
  const began = steady();
  const open = new Map<string, Set<string>>();
  const ends = new Map<string, number>();
  return {
    sends: (study, { id, ended: closed }, ended) => {
      const sessions = open.get(study) ?? new Set();
      if (sessions.has(id)) return;
      open.set(study, sessions.add(id));
      const end = (): void => {
        sessions.delete(id);
        ends.set(study, steady());
        if (sessions.size > 0) return;
        open.delete(study);
        ended();
      };
      closed.then(end, end);
    },
    heard: (studies) => ({
      isOpen: studies.some((study) => open.has(study)),
      at: Math.floor(
        now() - steady() + studies.reduce((last, study) => Math.max(last, ends.get(study) ?? began), began),
      ),
    }),
    forget: (ms) => {
      for (const [study, at] of ends) if (at < steady() - ms) ends.delete(study);
    },
  };
}

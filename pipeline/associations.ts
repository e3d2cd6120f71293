/** Which associations that sent to a study are open: while one is, more of the study may come. In memory, as associations are. */
import type { Session } from "../connectors/connector.ts";

/** What is heard of studies: `at` is when the last association ended, or when this site began to listen (ms since 1970). */
export type Heard = { readonly isOpen: boolean; readonly at: number };

export type Associations = {
  /** This association sent to the study; `ended` is called once when it and all others that did are closed. */
  sends(study: string, session: Session, ended: () => void): void;
  heard(studies: readonly string[]): Heard;
  /** Forgets what ended longer ago, and to what an association that is open has sent nothing for so long. */
  forget(ms: number): void;
};

type Sent = { at: number; readonly ended: () => void };

/**
 * `now` in milliseconds since 1970; nothing that was before it is known, so that silence begins with it. `steady` cannot be set: how
 * long it has been silent is the same by any clock.
 */
export function openAssociations(now: () => number, steady: () => number): Associations {
  const began = steady();
  const open = new Map<string, Set<string>>();
  const ends = new Map<string, number>();
  /** By association, the studies that it sent to: one that stays open for weeks may have sent to thousands. */
  const sent = new Map<string, Map<string, Sent>>();

  const part = (study: string, id: string): void => {
    const sessions = open.get(study);
    sessions?.delete(id);
    if (sessions?.size === 0) open.delete(study);
  };
  const begin = ({ id, ended: closed }: Session): Map<string, Sent> => {
    const studies = new Map<string, Sent>();
    sent.set(id, studies);
    const end = (): void => {
      sent.delete(id);
      for (const [study, { ended }] of studies) {
        part(study, id);
        ends.set(study, steady());
        if (!open.has(study)) ended();
      }
    };
    closed.then(end, end);
    return studies;
  };
  return {
    sends: (study, session, ended) => {
      const studies = sent.get(session.id) ?? begin(session);
      const known = studies.get(study);
      if (known) known.at = steady();
      else {
        studies.set(study, { at: steady(), ended });
        open.set(study, (open.get(study) ?? new Set()).add(session.id));
      }
    },
    heard: (studies) => ({
      isOpen: studies.some((study) => open.has(study)),
      at: Math.floor(
        now() - steady() + studies.reduce((last, study) => Math.max(last, ends.get(study) ?? began), began),
      ),
    }),
    forget: (ms) => {
      const time = steady() - ms;
      for (const [study, at] of ends) if (at < time) ends.delete(study);
      for (const [id, studies] of sent)
        for (const [study, { at }] of studies)
          if (at < time) {
            studies.delete(study);
            part(study, id);
          }
    },
  };
}

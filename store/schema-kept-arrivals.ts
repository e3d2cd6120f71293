/** What retention knows of arrivals that were refused or filtered (`kept-arrivals.ts`). */
const isEnded = (row: string): string => `${row}.state IN ('refused', 'filtered')`;
const enter = "INSERT OR IGNORE INTO kept_arrival VALUES (NEW.state, NEW.id, NULL)";

/** One row for each that has octets. An arrival that is taken after all leaves it; the sum of a state is under a name that no channel has. */
export const keptArrivalTable = `
  CREATE TABLE IF NOT EXISTS kept_arrival (
    state TEXT NOT NULL, arrival TEXT NOT NULL, bytes INTEGER, PRIMARY KEY (state, arrival)
  ) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO kept_arrival SELECT state, id, NULL FROM arrival WHERE ${isEnded("arrival")} AND blob IS NOT NULL;
  CREATE TRIGGER IF NOT EXISTS arrival_came AFTER INSERT ON arrival
    WHEN ${isEnded("NEW")} AND NEW.blob IS NOT NULL BEGIN ${enter}; END;
  CREATE TRIGGER IF NOT EXISTS arrival_ended AFTER UPDATE OF state ON arrival
    WHEN ${isEnded("NEW")} AND NEW.blob IS NOT NULL AND NEW.state <> OLD.state BEGIN ${enter}; END;
  CREATE TRIGGER IF NOT EXISTS arrival_resent AFTER UPDATE OF state ON arrival
    WHEN ${isEnded("OLD")} AND NEW.state <> OLD.state BEGIN
    UPDATE kept_bytes SET bytes = bytes - (SELECT bytes FROM kept_arrival WHERE state = OLD.state AND arrival = OLD.id)
      WHERE channel = '~' || OLD.state
      AND EXISTS (SELECT 1 FROM kept_arrival WHERE state = OLD.state AND arrival = OLD.id AND bytes IS NOT NULL);
    DELETE FROM kept_arrival WHERE state = OLD.state AND arrival = OLD.id;
  END;
`;

/** Until when the clock was believed: a row that outlives the process, which a clock that is ahead cannot move far (decision 44). */
import { change, type Database } from "./sqlite.ts";
import type { Change } from "./store.ts";

export type Believed = {
  /** Milliseconds since 1970; undefined until it was written for the first time. */
  until(): number | undefined;
  put(until: number): Change;
};

const putSql = `INSERT INTO meta (name, value) VALUES ('believed', ?)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value`;

export function openBelieved(db: Database): Believed {
  return {
    until: () => {
      const row = db.get("SELECT value FROM meta WHERE name = 'believed'");
      return row && Number(Buffer.from(row.value as Uint8Array).toString());
    },
    put: (until) => change(putSql, Buffer.from(String(Math.round(until)))),
  };
}

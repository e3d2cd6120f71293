/** Accesses in an emergency, each with its entry of the audit log, for a person to look at. Those of before have ids of their own, too. */
export const emergencyTable = `
  CREATE TABLE IF NOT EXISTS emergency (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL, org TEXT NOT NULL, at TEXT NOT NULL, reviewed_at TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS emergency_open ON emergency (at) WHERE reviewed_at IS NULL;
  INSERT INTO emergency
    SELECT lower(hex(randomblob(16))), seq, body ->> 'peer', body ->> 'at', NULL
    FROM (SELECT seq, iif(json_valid(body), body, '{}') AS body FROM audit)
    WHERE body ->> 'event' = 'emergency' AND body ->> 'outcome' = 'done' AND NOT EXISTS (SELECT 1 FROM emergency);
`;

/** What recurs in receipts and signed manifests, and receipts that several records have (`patterns.ts`). */
export const patternTable = `
  CREATE TABLE IF NOT EXISTS pattern (
    n INTEGER PRIMARY KEY, kind TEXT NOT NULL, month TEXT NOT NULL, octets BLOB NOT NULL, UNIQUE (kind, month)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS kept_once (name TEXT NOT NULL UNIQUE, octets BLOB NOT NULL) STRICT;
`;

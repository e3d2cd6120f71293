/** Where the audit log was pruned: one row, or none. */
export const auditAnchorTable = `
  CREATE TABLE IF NOT EXISTS audit_anchor (
    n INTEGER PRIMARY KEY CHECK (n = 1), seq INTEGER NOT NULL, chain BLOB NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL,
    signed BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS signed_head_at ON signed_head (at);
`;

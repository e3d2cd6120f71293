/** The tables, as an append-only list of migrations: `user_version` counts how many a database has seen. */

import { auditAnchorTable } from "./schema-audit-anchor.ts";
import { emergencyTable } from "./schema-emergency.ts";
import { foundTables } from "./schema-found.ts";
import { keptTables } from "./schema-kept.ts";
import { keptArrivalTable } from "./schema-kept-arrivals.ts";
import { patternTable } from "./schema-patterns.ts";
import { rowTables } from "./schema-rows.ts";

export const migrations: readonly string[] = [
  `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE blob (
    name TEXT PRIMARY KEY, form TEXT NOT NULL, size INTEGER NOT NULL, digests BLOB NOT NULL,
    cek BLOB NOT NULL, nonce BLOB NOT NULL, tag BLOB NOT NULL, inline BLOB, file TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE arrival (
    id TEXT PRIMARY KEY, source TEXT NOT NULL, channel TEXT, media_type TEXT NOT NULL, control_id TEXT NOT NULL,
    sender TEXT NOT NULL, repetition TEXT, digest TEXT NOT NULL, blob TEXT, state TEXT NOT NULL, code TEXT, reason TEXT,
    received_at TEXT NOT NULL, facts BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX arrival_repetition ON arrival (repetition) WHERE repetition IS NOT NULL;
  CREATE INDEX arrival_state ON arrival (state, id);
  CREATE TABLE item (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, arrival TEXT NOT NULL, channel TEXT NOT NULL, key TEXT NOT NULL,
    digest TEXT NOT NULL, blob TEXT NOT NULL, joins TEXT NOT NULL, patients TEXT NOT NULL, state TEXT NOT NULL,
    code TEXT, reason TEXT, since TEXT NOT NULL, record TEXT, facts BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX item_key ON item (kind, key, digest);
  CREATE INDEX item_state ON item (state, kind, id);
  CREATE TABLE item_join (value TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (value, item)) STRICT, WITHOUT ROWID;
  CREATE TABLE record (
    id TEXT PRIMARY KEY, channel TEXT NOT NULL, origin TEXT NOT NULL, author TEXT NOT NULL, manifest BLOB NOT NULL,
    signature BLOB NOT NULL, manifest_sha256 TEXT NOT NULL, key TEXT NOT NULL, parts TEXT NOT NULL, patients TEXT NOT NULL,
    state TEXT NOT NULL, code TEXT, reason TEXT, entry BLOB NOT NULL, created_at TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX record_key ON record (key);
  CREATE INDEX record_state ON record (state, id);
  CREATE INDEX record_manifest ON record (manifest_sha256);
  CREATE TABLE evidence (
    record TEXT NOT NULL, kind TEXT NOT NULL, org TEXT NOT NULL, receipt BLOB NOT NULL, PRIMARY KEY (record, kind, org)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE delivery (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, channel TEXT NOT NULL, destination TEXT NOT NULL, sequence TEXT, record TEXT,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL, code TEXT, reason TEXT, created_at TEXT NOT NULL,
    payload BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX delivery_due ON delivery (due) WHERE state IN ('queued', 'ambiguous');
  CREATE INDEX delivery_sequence ON delivery (destination, sequence, id)
    WHERE sequence IS NOT NULL AND state IN ('queued', 'inflight', 'ambiguous');
  CREATE INDEX delivery_state ON delivery (state, id);
  CREATE INDEX delivery_record ON delivery (record);
  CREATE TABLE message (
    org TEXT NOT NULL, message TEXT NOT NULL, digest TEXT NOT NULL, receipt BLOB NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (org, message)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE replay (org TEXT NOT NULL, id TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (org, id)) STRICT, WITHOUT ROWID;
  CREATE TABLE ledger (
    destination TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (destination, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE patient (token TEXT PRIMARY KEY, number TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE entry (
    id TEXT PRIMARY KEY, org TEXT NOT NULL, key TEXT NOT NULL UNIQUE, form TEXT NOT NULL, status TEXT NOT NULL,
    created_at TEXT NOT NULL, manifest_sha256 TEXT NOT NULL, entry BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE entry_patient (
    patient TEXT NOT NULL, created_at TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (patient, created_at, entry)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE entry_reference (
    reference TEXT NOT NULL, created_at TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (reference, created_at, entry)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE step (
    n INTEGER PRIMARY KEY, subject TEXT NOT NULL, at TEXT NOT NULL, station TEXT NOT NULL, event TEXT NOT NULL, ms INTEGER,
    peer TEXT, attempt INTEGER, code TEXT, detail TEXT
  ) STRICT;
  CREATE INDEX step_subject ON step (subject);
  CREATE INDEX arrival_control ON arrival (control_id);
  CREATE INDEX item_arrival ON item (arrival);
  CREATE INDEX item_record ON item (record) WHERE record IS NOT NULL;
  `,
  `
  CREATE TABLE item_of (
    value TEXT NOT NULL, kind TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (value, kind, item)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO item_of SELECT item_join.value, item.kind, item.id FROM item_join JOIN item ON item.id = item_join.item;
  DROP TABLE item_join;
  ALTER TABLE item_of RENAME TO item_join;
  CREATE TABLE study (
    uid TEXT PRIMARY KEY, expected INTEGER, asked_at INTEGER, pulls INTEGER NOT NULL DEFAULT 0, complete_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE rejection (instance TEXT PRIMARY KEY, note TEXT NOT NULL, reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  "CREATE INDEX delivery_fetch ON delivery (sequence, id) WHERE kind = 'fetch'",
  // By rowid, in the order they come: in a tree ordered by name, octets of one body were moved for every other that came.
  `
  CREATE TABLE blob_by_row (
    name TEXT NOT NULL UNIQUE, form TEXT NOT NULL, size INTEGER NOT NULL, digests BLOB NOT NULL,
    cek BLOB NOT NULL, nonce BLOB NOT NULL, tag BLOB NOT NULL, inline BLOB, file TEXT
  ) STRICT;
  INSERT INTO blob_by_row SELECT * FROM blob;
  DROP TABLE blob;
  ALTER TABLE blob_by_row RENAME TO blob;
  `,
  `
  CREATE TABLE IF NOT EXISTS stop (
    kind TEXT NOT NULL, name TEXT NOT NULL, mode TEXT NOT NULL, reason TEXT NOT NULL, since TEXT NOT NULL, PRIMARY KEY (kind, name)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE IF NOT EXISTS merge (
    prior TEXT NOT NULL, surviving TEXT NOT NULL, at TEXT NOT NULL, facts BLOB NOT NULL, PRIMARY KEY (prior, surviving)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS merge_surviving ON merge (surviving);
  `,
  `
  CREATE TABLE IF NOT EXISTS legacy_key (
    key TEXT PRIMARY KEY, org TEXT NOT NULL, envelope TEXT NOT NULL, answer INTEGER, at TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS legacy_end (org TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  // Entries by number, in the order of registration; what finds them in two levels of one shape (decision 0012).
  `
  CREATE TABLE clock (n INTEGER NOT NULL) STRICT;
  INSERT INTO clock SELECT count(*) FROM entry;
  CREATE TABLE submission (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, org TEXT NOT NULL, name TEXT NOT NULL, created_at TEXT NOT NULL,
    UNIQUE (org, name)
  ) STRICT;
  CREATE TABLE entry_by_number (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, submission TEXT, org TEXT NOT NULL, key TEXT NOT NULL, form TEXT NOT NULL,
    deprecated INTEGER, created_at TEXT NOT NULL, manifest_sha256 TEXT NOT NULL, entry BLOB NOT NULL
  ) STRICT;
  INSERT INTO entry_by_number
    SELECT n, id, NULL, org, key, form, iif(status = 'deprecated', n, NULL), created_at, manifest_sha256, entry
    FROM (SELECT row_number() OVER (ORDER BY created_at, id) AS n, * FROM entry);
  CREATE TABLE lookup (
    kind INTEGER NOT NULL, token BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (kind, token, seq)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE lookup_recent (
    kind INTEGER NOT NULL, token BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (kind, token, seq)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO lookup SELECT 0, unhex('0' || key), seq FROM entry_by_number;
  INSERT INTO lookup SELECT 1, unhex(patient), seq FROM entry_patient JOIN entry_by_number ON id = entry_patient.entry;
  INSERT INTO lookup SELECT 2, unhex('0' || reference), seq FROM entry_reference JOIN entry_by_number ON id = entry_reference.entry;
  DROP TABLE entry_patient;
  DROP TABLE entry_reference;
  DROP TABLE entry;
  ALTER TABLE entry_by_number RENAME TO entry;
  CREATE INDEX entry_submission ON entry (submission) WHERE submission IS NOT NULL;
  CREATE TRIGGER document_once BEFORE INSERT ON lookup_recent WHEN NEW.kind = 0 AND (
    EXISTS (SELECT 1 FROM lookup WHERE kind = 0 AND token = NEW.token)
    OR EXISTS (SELECT 1 FROM lookup_recent WHERE kind = 0 AND token = NEW.token)
  ) BEGIN SELECT RAISE(ABORT, 'a document is registered once'); END;
  ALTER TABLE merge ADD COLUMN n INTEGER NOT NULL DEFAULT 0;
  `,
  // Names of files say nothing of their blob: the sweep finds the row by the file.
  "CREATE INDEX IF NOT EXISTS blob_file ON blob (file) WHERE file IS NOT NULL",
  `
  CREATE TABLE IF NOT EXISTS commitment (
    id TEXT PRIMARY KEY, system TEXT NOT NULL, request BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // Entry 0 is empty, its chain 32 zeros; the writer chains every other (audit-chain.ts).
  `
  CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, chain BLOB NOT NULL) STRICT;
  INSERT OR IGNORE INTO audit (seq, body, chain) VALUES (0, '', zeroblob(32));
  CREATE TABLE IF NOT EXISTS patient_key (patient TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, key BLOB NOT NULL) STRICT;
  `,
  `
  CREATE TABLE IF NOT EXISTS witness (
    org TEXT NOT NULL, hour TEXT NOT NULL, seq INTEGER NOT NULL, head TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (org, hour)
  ) STRICT, WITHOUT ROWID;
  `,
  keptTables,
  `
  CREATE TABLE IF NOT EXISTS alert (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, says TEXT NOT NULL, at TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS alert_notice (
    id TEXT PRIMARY KEY, target TEXT NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS arrival_source ON arrival (source, id);
  `,
  foundTables,
  `
  CREATE TABLE IF NOT EXISTS consent (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, patient TEXT NOT NULL, org TEXT NOT NULL, at TEXT NOT NULL, facts BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS consent_patient ON consent (patient, n);
`,
  // By way, so that a long queue to one destination is not gone through for another.
  `
  DROP INDEX IF EXISTS delivery_due;
  CREATE INDEX IF NOT EXISTS delivery_way ON delivery (kind, destination, due) WHERE state IN ('queued', 'ambiguous');
`,
  rowTables,
  "CREATE TABLE IF NOT EXISTS signed_head (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, signed BLOB NOT NULL) STRICT",
  emergencyTable,
  "CREATE INDEX IF NOT EXISTS delivery_change ON delivery (sequence, id) WHERE kind = 'change' AND sequence IS NOT NULL",
  patternTable,
  keptArrivalTable,
  auditAnchorTable,
  // Files of blobs may go on with zeros to the end of their block, which a version before this takes for damage: it may not start.
  "SELECT 1",
  // What is registered from here on is sealed under its patient's key (decision 30); never under one that was not kept.
  "ALTER TABLE entry ADD COLUMN patient_key TEXT REFERENCES patient_key (id)",
  // Bodies of messages, which have names of 32 digits: those of records that were shredded before were left behind.
  `
  PRAGMA secure_delete = ON;
  DELETE FROM blob WHERE length(name) = 32 AND name NOT IN (SELECT blob FROM arrival WHERE blob IS NOT NULL);
  PRAGMA secure_delete = OFF;
`,
  // A document id is registered once by each house, and no house takes one from another (decision 36).
  `
  DROP TRIGGER document_once;
  CREATE TRIGGER document_once BEFORE INSERT ON lookup_recent WHEN NEW.kind = 0 AND EXISTS (
    SELECT 1 FROM (
      SELECT seq FROM lookup WHERE kind = 0 AND token = NEW.token
      UNION ALL SELECT seq FROM lookup_recent WHERE kind = 0 AND token = NEW.token
    ) AS before JOIN entry ON entry.seq = before.seq WHERE entry.org = (SELECT org FROM entry WHERE seq = NEW.seq)
  ) BEGIN SELECT RAISE(ABORT, 'a house registers a document once'); END;
`,
  `
  CREATE TABLE IF NOT EXISTS relation (
    org TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL, facts BLOB NOT NULL, PRIMARY KEY (org, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS relation_order ON relation (org, at);
`,
  "CREATE INDEX IF NOT EXISTS replay_until ON replay (until)",
  // Instances of other houses are known by their UID (decision 42): those that a PACS took before this are in the ledger by record.
  `
  INSERT OR IGNORE INTO ledger
    SELECT 'received instance', substr(key, 34) || ' ' || substr(key, 1, 32), at FROM ledger
    WHERE substr(key, 33, 1) = ' ' AND substr(key, 1, 32) NOT GLOB '*[^0-9a-f]*'
      AND substr(key, 34) GLOB '[0-9]*.[0-9]*' AND substr(key, 34) NOT GLOB '*[^0-9.]*';
`,
  // Of what was tried before this nobody knows any more whether something of it went out.
  `
  ALTER TABLE delivery ADD COLUMN reached INTEGER NOT NULL DEFAULT 1;
  UPDATE delivery SET reached = 0 WHERE state = 'queued' AND attempts = 0;
`,
  "CREATE INDEX IF NOT EXISTS delivery_told ON delivery (id) WHERE kind = 'change' AND record IS NULL",
  // The row that proved the storage key holds the folder's own (decision 45): a version before this would seal under the former.
  "SELECT 1",
];

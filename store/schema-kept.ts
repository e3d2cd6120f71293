/**
 * What retention knows of records: one row each, with its octets once they are counted, and who else needs a blob. A row of
 * `kept_blob` whose record begins with a tilde says that the blob was used again in that hour.
 */
export const keptTables = `
  CREATE TABLE IF NOT EXISTS kept (record TEXT PRIMARY KEY, channel TEXT NOT NULL, at TEXT NOT NULL, bytes INTEGER) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS kept_blob (blob TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (blob, record)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS kept_bytes (channel TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO kept SELECT id, channel, created_at, NULL FROM record;
  INSERT OR IGNORE INTO kept_blob SELECT part.value ->> 'blob', record.id FROM record, json_each(record.parts) AS part;
  CREATE INDEX IF NOT EXISTS kept_order ON kept (channel, at, record);
  CREATE INDEX IF NOT EXISTS kept_uncounted ON kept (record) WHERE bytes IS NULL;
  CREATE TRIGGER IF NOT EXISTS record_kept AFTER INSERT ON record BEGIN
    INSERT INTO kept VALUES (NEW.id, NEW.channel, NEW.created_at, NULL);
    INSERT INTO kept_blob SELECT DISTINCT value ->> 'blob', NEW.id FROM json_each(NEW.parts);
  END;
  CREATE TRIGGER IF NOT EXISTS blob_used_again AFTER UPDATE OF size ON blob BEGIN
    INSERT INTO kept_blob SELECT NEW.name, '~' || strftime('%Y-%m-%dT%H', 'now')
      WHERE NOT EXISTS (SELECT 1 FROM kept_blob WHERE blob = NEW.name AND record = '~' || strftime('%Y-%m-%dT%H', 'now'));
  END;
`;

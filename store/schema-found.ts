/**
 * What a search finds by patient or accession number: tokens beside the arrival, or the record of another house, that has
 * them. In the order of ids, which is that of time, so that a page begins where the last one ended.
 */
export const foundTables = `
  CREATE TABLE IF NOT EXISTS found (token TEXT NOT NULL, subject TEXT NOT NULL, PRIMARY KEY (token, subject)) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO found SELECT value, arrival FROM item, json_each(item.patients);
  INSERT OR IGNORE INTO found SELECT substr(value, 11), arrival FROM item, json_each(item.joins) WHERE value LIKE 'accession:%';
  INSERT OR IGNORE INTO found SELECT value, record.id FROM record, json_each(record.patients) WHERE origin = 'received';
  CREATE TRIGGER IF NOT EXISTS item_found AFTER INSERT ON item BEGIN
    INSERT OR IGNORE INTO found SELECT value, NEW.arrival FROM json_each(NEW.patients);
    INSERT OR IGNORE INTO found SELECT substr(value, 11), NEW.arrival FROM json_each(NEW.joins) WHERE value LIKE 'accession:%';
  END;
  CREATE TRIGGER IF NOT EXISTS record_found AFTER INSERT ON record WHEN NEW.origin = 'received' BEGIN
    INSERT OR IGNORE INTO found SELECT value, NEW.id FROM json_each(NEW.patients);
  END;
`;

-- The oldest of the log may go after a time (audit_retention_seconds): up to an entry whose hash is kept here, so that what
-- is left verifies from there on. The row moves in the transaction of an entry that says so.
CREATE TABLE audit_purged (
    number   INTEGER PRIMARY KEY CHECK (number = 1),
    position INTEGER NOT NULL,       -- of the newest entry that may go
    last_id  BLOB NOT NULL,
    at_ms    INTEGER NOT NULL,       -- when it was linked
    hash     BLOB NOT NULL           -- SHA-256
) STRICT;

DROP TRIGGER audit_entries_are_kept;
CREATE TRIGGER audit_entries_are_kept BEFORE DELETE ON audit_entries
WHEN NOT EXISTS (SELECT 1 FROM audit_purged WHERE last_id >= OLD.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- The link of that entry stays: the chain goes on from it.
DROP TRIGGER audit_links_are_kept;
CREATE TRIGGER audit_links_are_kept BEFORE DELETE ON audit_links
WHEN NOT EXISTS (SELECT 1 FROM audit_purged WHERE position > OLD.position)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_purged_grows BEFORE UPDATE ON audit_purged WHEN NEW.position <= OLD.position
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_purged_is_kept BEFORE DELETE ON audit_purged
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

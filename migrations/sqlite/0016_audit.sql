-- What was done, by whom, from where: written with what was done, never changed, kept for ever. Ids grow, and are the
-- order of the chain. docs/audit.md says what is hashed.
CREATE TABLE audit_entries (
    id             BLOB PRIMARY KEY,
    at_ms          INTEGER NOT NULL,
    action         TEXT NOT NULL,
    actor          TEXT NOT NULL,
    actor_id       BLOB,
    actor_name     TEXT,
    from_address   TEXT,
    request_id     TEXT,
    subject        TEXT NOT NULL,
    subject_id     BLOB,
    application_id BLOB,
    details        TEXT              -- a JSON object
) STRICT, WITHOUT ROWID;

-- Entries about integrations are on the way of every message, and are the many: they pay for no index.
CREATE INDEX audit_entries_few ON audit_entries (id) WHERE subject <> 'Integration';

-- Where the chain stood after an entry. Each transaction that writes entries writes one.
CREATE TABLE audit_links (
    position INTEGER PRIMARY KEY,    -- of that entry: 1, 2, 3 …
    last_id  BLOB NOT NULL,
    at_ms    INTEGER NOT NULL,
    hash     BLOB NOT NULL           -- SHA-256
) STRICT;

CREATE TRIGGER audit_entries_stay BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_entries_are_kept BEFORE DELETE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_links_stay BEFORE UPDATE ON audit_links
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_links_are_kept BEFORE DELETE ON audit_links
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

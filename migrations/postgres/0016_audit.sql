-- What was done, by whom, from where: written with what was done, never changed, kept for ever. docs/audit.md says what
-- is hashed.
--
-- The order of the chain is that of the transactions: which of them are over is known (pg_snapshot_xmin), so that whoever
-- links knows that nothing comes in between any more, and nobody who commits waits for it.
CREATE TABLE audit_entries (
    xact           bigint NOT NULL,     -- the transaction, above the base of its time (audit_bases)
    id             uuid NOT NULL,
    at_ms          bigint NOT NULL,
    action         text NOT NULL,
    actor          text NOT NULL,
    actor_id       uuid,
    actor_name     text,
    from_address   text,
    request_id     text,
    subject        text NOT NULL,
    subject_id     uuid,
    application_id uuid,
    details        text,                -- a JSON object
    PRIMARY KEY (xact, id)
);

-- Entries about integrations are on the way of every message, and are the many: they pay for no index.
CREATE INDEX audit_entries_few ON audit_entries (xact, id) WHERE subject <> 'Integration';

-- Where the chain stood after an entry. One replica at a time writes them, soon after the entries.
CREATE TABLE audit_links (
    position  bigint PRIMARY KEY,       -- of that entry: 1, 2, 3 …
    last_xact bigint NOT NULL,
    last_id   uuid NOT NULL,
    at_ms     bigint NOT NULL,
    hash      bytea NOT NULL            -- SHA-256
);

-- A database that was restored from a dump counts its transactions anew. From then on they are above this.
CREATE TABLE audit_bases (
    base bigint PRIMARY KEY
);

CREATE FUNCTION refuse_to_change_the_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;

CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_log();
CREATE TRIGGER audit_links_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_links
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_log();

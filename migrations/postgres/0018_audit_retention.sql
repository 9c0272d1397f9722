-- The oldest of the log may go after a time (audit_retention_seconds): up to an entry whose hash is kept here, so that what
-- is left verifies from there on. The row moves in the transaction of an entry that says so.
CREATE TABLE audit_purged (
    number    smallint PRIMARY KEY CHECK (number = 1),
    position  bigint NOT NULL,          -- of the newest entry that may go
    last_xact bigint NOT NULL,
    last_id   uuid NOT NULL,
    at_ms     bigint NOT NULL,          -- when it was linked
    hash      bytea NOT NULL            -- SHA-256
);

DROP TRIGGER audit_entries_stay ON audit_entries;
CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_log();
DROP TRIGGER audit_links_stay ON audit_links;
CREATE TRIGGER audit_links_stay BEFORE UPDATE OR TRUNCATE ON audit_links
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_log();

CREATE FUNCTION keep_audit_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_purged WHERE (last_xact, last_id) >= (OLD.xact, OLD.id)) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_entries_are_kept BEFORE DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION keep_audit_entries();

-- The link of that entry stays: the chain goes on from it.
CREATE FUNCTION keep_audit_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_purged WHERE position > OLD.position) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_links_are_kept BEFORE DELETE ON audit_links
    FOR EACH ROW EXECUTE FUNCTION keep_audit_links();

CREATE FUNCTION let_audit_purged_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position > OLD.position THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_purged_grows BEFORE UPDATE ON audit_purged
    FOR EACH ROW EXECUTE FUNCTION let_audit_purged_grow();
CREATE TRIGGER audit_purged_is_kept BEFORE DELETE OR TRUNCATE ON audit_purged
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_log();

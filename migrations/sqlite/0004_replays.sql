-- Replays in bulk and backfills. A run walks over (integration, webhook, sequence), and keeps where it is.

CREATE TABLE replays (
    id                 BLOB PRIMARY KEY,
    kind               TEXT NOT NULL CHECK (kind IN ('Replay', 'Backfill')),
    state              TEXT NOT NULL CHECK (state IN ('Running', 'Paused', 'Canceled', 'Completed')),
    application_id     BLOB,             -- whose deliveries alone it is about; NULL: of several applications
    webhook_id         BLOB,             -- the same of a webhook
    selection          TEXT NOT NULL,    -- JSON
    newest             BLOB NOT NULL,    -- the newest delivery when it was counted
    counted_ms         INTEGER NOT NULL,
    at_integration     BLOB,             -- the last that it has passed; NULL before the first
    at_webhook         BLOB,
    at_sequence        INTEGER,
    is_exhausted       INTEGER NOT NULL, -- it has passed the last
    total              INTEGER NOT NULL,
    passed             INTEGER NOT NULL,
    succeeded          INTEGER NOT NULL,
    failed             INTEGER NOT NULL,
    held_by            BLOB,             -- the webhook that it waits for
    created_ms         INTEGER NOT NULL,
    ended_ms           INTEGER,
    CHECK ((state IN ('Canceled', 'Completed')) = (ended_ms IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX replays_application ON replays (application_id, id);
CREATE INDEX replays_open ON replays (id) WHERE ended_ms IS NULL;
CREATE INDEX replays_backfill ON replays (webhook_id) WHERE kind = 'Backfill';

-- The run that a delivery waits in. The index is empty but for those.
ALTER TABLE deliveries ADD COLUMN replay_id BLOB;
CREATE INDEX deliveries_replay ON deliveries (replay_id) WHERE replay_id IS NOT NULL;

ALTER TABLE attempts ADD COLUMN is_replay INTEGER NOT NULL DEFAULT 0;

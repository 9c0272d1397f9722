-- Replays in bulk and backfills. A run walks over (integration, webhook, sequence), and keeps where it is.

CREATE TABLE replays (
    id                 uuid PRIMARY KEY,
    kind               text NOT NULL CHECK (kind IN ('Replay', 'Backfill')),
    state              text NOT NULL CHECK (state IN ('Running', 'Paused', 'Canceled', 'Completed')),
    application_id     uuid,             -- whose deliveries alone it is about; NULL: of several applications
    webhook_id         uuid,             -- the same of a webhook
    selection          text NOT NULL,    -- JSON
    newest             uuid NOT NULL,    -- the newest delivery when it was counted
    counted_ms         bigint NOT NULL,
    at_integration     uuid,             -- the last that it has passed; NULL before the first
    at_webhook         uuid,
    at_sequence        bigint,
    is_exhausted       boolean NOT NULL, -- it has passed the last
    total              bigint NOT NULL,
    passed             bigint NOT NULL,
    succeeded          bigint NOT NULL,
    failed             bigint NOT NULL,
    held_by            uuid,             -- the webhook that it waits for
    created_ms         bigint NOT NULL,
    ended_ms           bigint,
    CHECK ((state IN ('Canceled', 'Completed')) = (ended_ms IS NOT NULL))
);

CREATE INDEX replays_application ON replays (application_id, id);
CREATE INDEX replays_open ON replays (id) WHERE ended_ms IS NULL;
CREATE INDEX replays_backfill ON replays (webhook_id) WHERE kind = 'Backfill';

-- The run that a delivery waits in. The index is empty but for those.
ALTER TABLE deliveries ADD COLUMN replay_id uuid;
CREATE INDEX deliveries_replay ON deliveries (replay_id) WHERE replay_id IS NOT NULL;

ALTER TABLE attempts ADD COLUMN is_replay boolean NOT NULL DEFAULT false;

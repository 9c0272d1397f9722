-- What retention looks for. All are partial: a row that lives is in none of them.
CREATE INDEX integrations_deleted ON integrations (deleted_ms, id) WHERE deleted_ms IS NOT NULL;
CREATE INDEX webhooks_deleted ON webhooks (deleted_ms) WHERE deleted_ms IS NOT NULL;
CREATE INDEX api_keys_expires ON api_keys (expires_ms) WHERE expires_ms IS NOT NULL;

-- Where a lane stood when its last delivery was purged, so that the next one still names the one before it.
CREATE TABLE lane_ends (
    integration_id uuid NOT NULL,
    webhook_id     uuid NOT NULL,
    application_id uuid NOT NULL,
    sequence       bigint NOT NULL,
    PRIMARY KEY (integration_id, webhook_id, application_id)
);

CREATE INDEX lane_ends_webhook ON lane_ends (webhook_id);

-- What attempts have shown of a webhook. A healthy one has the defaults.
ALTER TABLE webhooks ADD COLUMN failures bigint NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN failing_since_ms bigint;
ALTER TABLE webhooks ADD COLUMN opened bigint NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN open_until_ms bigint;
ALTER TABLE webhooks ADD COLUMN ramp bigint;

CREATE INDEX webhooks_open ON webhooks (open_until_ms) WHERE open_until_ms IS NOT NULL;

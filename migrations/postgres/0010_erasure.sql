-- The erasure of bodies that carry an access token, once their deliveries have ended.
ALTER TABLE messages ADD COLUMN erased_ms bigint; -- when the bodies were erased

-- How many a run has passed over because they were.
ALTER TABLE replays ADD COLUMN erased bigint NOT NULL DEFAULT 0;

-- How far the walk along the deliveries has come: the one that it looked at last. One row.
CREATE TABLE erasure_walk (
    delivery_id uuid NOT NULL
);

INSERT INTO erasure_walk VALUES ('00000000-0000-0000-0000-000000000000');

-- Messages with a body to erase that the walk does not meet any more: it passed them too early, or they have no delivery.
CREATE TABLE erasures_left (
    integration_id uuid NOT NULL,
    sequence       bigint NOT NULL,
    application_id uuid NOT NULL,
    PRIMARY KEY (integration_id, sequence, application_id)
);

INSERT INTO erasures_left
SELECT integration_id, sequence, application_id FROM messages m WHERE is_sealed AND body IS NOT NULL AND NOT EXISTS
(SELECT 1 FROM deliveries d WHERE d.integration_id = m.integration_id AND d.sequence = m.sequence);

-- What is in flight of a webhook is read by every claim. In the order of the primary key new claims come where the newest
-- integrations are, and what has ended before them is passed over until the next vacuum: 800 pages after 100,000 messages.
-- Here new ones come round again to where the ones before have ended, and a page that is full is cleared of those: nine
-- pages, however many there were. The expression is one that the primary key does not have, so that it is not taken instead.
CREATE INDEX claims_of_webhooks ON claims (uuid_send(webhook_id), (fence & 1023));

-- Replicas that claim, so that each knows its share of what may be in flight and need not wait for the others. A row is
-- one of a replica that may still commit claims of its share until 30 s after its time.
CREATE TABLE replicas (
    holder uuid PRIMARY KEY,
    number bigint NOT NULL,            -- which time it came: what it knew before is worth nothing then
    until  timestamptz NOT NULL        -- by this database's clock
) WITH (fillfactor = 50);

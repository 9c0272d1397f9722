-- Messages to the operator, written in the transaction of their cause.

-- Immutable. Ids grow with time.
CREATE TABLE operational_messages (
    id             uuid PRIMARY KEY,
    type           text NOT NULL,
    application_id uuid NOT NULL,
    webhook_id     uuid NOT NULL,
    created_ms     bigint NOT NULL,
    body           text NOT NULL     -- as it is sent; holds no secret
);

-- The way of each to each destination that there was when it was made.
CREATE TABLE operational_sends (
    message_id      uuid NOT NULL,
    destination     text NOT NULL CHECK (destination IN ('Webhook', 'Email')),
    state           text NOT NULL CHECK (state IN ('Pending', 'Delivered', 'Failed')),
    attempt_count   bigint NOT NULL,
    next_attempt_ms bigint,
    cause           text,
    detail          text,
    ended_ms        bigint,
    holder          uuid,            -- the replica that sends it
    lease_until     timestamptz,     -- until when it alone does, by this database's clock
    PRIMARY KEY (message_id, destination),
    CHECK ((state = 'Pending') = (ended_ms IS NULL)),
    CHECK ((state = 'Pending') = (next_attempt_ms IS NOT NULL))
);

CREATE INDEX operational_sends_pending ON operational_sends (destination, message_id) WHERE state = 'Pending';

-- Deliveries of a webhook that failed for good and are not told yet: at most one row of each webhook.
CREATE TABLE operational_windows (
    webhook_id uuid PRIMARY KEY,
    closes_ms  bigint NOT NULL,
    count      bigint NOT NULL,
    listed     text NOT NULL         -- the first of them, as the message lists them
);

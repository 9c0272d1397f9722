-- Messages to the operator, written in the transaction of their cause.

-- Immutable. Ids grow with time.
CREATE TABLE operational_messages (
    id             BLOB PRIMARY KEY,
    type           TEXT NOT NULL,
    application_id BLOB NOT NULL,
    webhook_id     BLOB NOT NULL,
    created_ms     INTEGER NOT NULL,
    body           TEXT NOT NULL     -- as it is sent; holds no secret
) STRICT, WITHOUT ROWID;

-- The way of each to each destination that there was when it was made.
CREATE TABLE operational_sends (
    message_id      BLOB NOT NULL,
    destination     TEXT NOT NULL CHECK (destination IN ('Webhook', 'Email')),
    state           TEXT NOT NULL CHECK (state IN ('Pending', 'Delivered', 'Failed')),
    attempt_count   INTEGER NOT NULL,
    next_attempt_ms INTEGER,
    cause           TEXT,
    detail          TEXT,
    ended_ms        INTEGER,
    PRIMARY KEY (message_id, destination),
    CHECK ((state = 'Pending') = (ended_ms IS NULL)),
    CHECK ((state = 'Pending') = (next_attempt_ms IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX operational_sends_pending ON operational_sends (destination, message_id) WHERE state = 'Pending';

-- Deliveries of a webhook that failed for good and are not told yet: at most one row of each webhook.
CREATE TABLE operational_windows (
    webhook_id BLOB PRIMARY KEY,
    closes_ms  INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    listed     TEXT NOT NULL         -- the first of them, as the message lists them
) STRICT, WITHOUT ROWID;

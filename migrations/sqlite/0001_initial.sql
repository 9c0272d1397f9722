-- Times are unix milliseconds in UTC. Ids are 16 bytes. What is called sealed is encrypted by the vault.

CREATE TABLE enterprises (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE applications (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE webhooks (
    id             BLOB PRIMARY KEY,
    application_id BLOB NOT NULL REFERENCES applications (id),
    url_sealed     BLOB NOT NULL,
    description    TEXT NOT NULL,
    actions        INTEGER NOT NULL, -- one bit for each action; 255 is all, later ones too
    profile        TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('Enabled', 'Paused', 'Disabled')),
    state_reason   TEXT,
    timeout_ms     INTEGER NOT NULL,
    retry_schedule TEXT NOT NULL,    -- seconds before each try, a JSON array
    max_in_flight  INTEGER NOT NULL,
    rate_limit     INTEGER,
    headers_sealed BLOB,             -- name and value pairs, JSON
    secrets_sealed BLOB NOT NULL,    -- newest first, JSON
    created_ms     INTEGER NOT NULL,
    not_before_ms  INTEGER,          -- a receiver's Retry-After
    revision       INTEGER NOT NULL,
    deleted_ms     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_application ON webhooks (application_id, id) WHERE deleted_ms IS NULL;

CREATE TABLE integrations (
    id                      BLOB PRIMARY KEY,
    application_id          BLOB NOT NULL REFERENCES applications (id),
    enterprise_id           BLOB NOT NULL REFERENCES enterprises (id),
    name                    TEXT NOT NULL,
    is_enabled              INTEGER NOT NULL,
    created_ms              INTEGER NOT NULL,
    canceled_ms             INTEGER,
    deleted_ms              INTEGER,
    sequence                INTEGER NOT NULL,
    service_id              BLOB,
    service_name            TEXT,
    token_hash              BLOB,
    previous_token_hash     BLOB,
    previous_token_until_ms INTEGER,
    CHECK ((deleted_ms IS NULL) = (token_hash IS NOT NULL)),
    CHECK ((previous_token_hash IS NULL) = (previous_token_until_ms IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX integrations_application ON integrations (application_id, id);
CREATE INDEX integrations_enterprise ON integrations (enterprise_id, id);

-- Immutable, but for the erasure of bodies.
CREATE TABLE messages (
    integration_id BLOB NOT NULL,
    sequence       INTEGER NOT NULL CHECK (sequence > 0),
    action         TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    requestor      TEXT,             -- JSON
    is_sealed      INTEGER NOT NULL, -- whether the bodies are: those that carry an access token are
    body           BLOB,             -- NULL once erased
    body_2025      BLOB,             -- where profile 2025 differs
    PRIMARY KEY (integration_id, sequence)
) STRICT, WITHOUT ROWID;

-- Ids grow with time. At most one delivery of a lane that is pending has a next attempt: its head.
CREATE TABLE deliveries (
    id              BLOB PRIMARY KEY,
    webhook_id      BLOB NOT NULL,
    application_id  BLOB NOT NULL,
    integration_id  BLOB NOT NULL,
    sequence        INTEGER NOT NULL,
    previous        INTEGER NOT NULL,
    action          TEXT NOT NULL,
    profile         TEXT NOT NULL,   -- the webhook's when it was made: it decides which bytes are sent, for good
    state           TEXT NOT NULL CHECK (state IN ('Pending', 'Delivered', 'Failed', 'Discarded')),
    cause           TEXT,
    reason          TEXT,
    attempt_count   INTEGER NOT NULL,
    tries           INTEGER NOT NULL,
    next_attempt_ms INTEGER,
    planned_ms      INTEGER,         -- the try of the schedule that a replay has moved aside
    created_ms      INTEGER NOT NULL,
    ended_ms        INTEGER,
    CHECK ((state = 'Pending') = (ended_ms IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX deliveries_lane ON deliveries (integration_id, webhook_id, sequence);
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_ms) WHERE next_attempt_ms IS NOT NULL;
CREATE INDEX deliveries_application ON deliveries (application_id, id);
CREATE INDEX deliveries_failed ON deliveries (id) WHERE state = 'Failed';

CREATE TABLE attempts (
    delivery_id      BLOB NOT NULL,
    number           INTEGER NOT NULL,
    started_ms       INTEGER NOT NULL,
    duration_us      INTEGER NOT NULL,
    cause            TEXT,
    detail           TEXT,
    signature        TEXT NOT NULL,
    traceparent      TEXT NOT NULL,
    status           INTEGER,
    response_headers TEXT,           -- name and value pairs, JSON
    response_body    BLOB,
    is_truncated     INTEGER NOT NULL,
    dns_us           INTEGER,
    connect_us       INTEGER,
    tls_us           INTEGER,
    send_us          INTEGER,
    wait_us          INTEGER,
    receive_us       INTEGER,
    remote           TEXT,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key           BLOB PRIMARY KEY,  -- SHA-256
    fingerprint   BLOB NOT NULL,     -- SHA-256
    answer_sealed BLOB NOT NULL,
    until_ms      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_until ON idempotency (until_ms);

CREATE TABLE api_keys (
    id             BLOB PRIMARY KEY,
    name           TEXT NOT NULL,
    scope          TEXT NOT NULL,
    application_id BLOB,
    hash           BLOB NOT NULL UNIQUE,
    created_ms     INTEGER NOT NULL,
    expires_ms     INTEGER
) STRICT, WITHOUT ROWID;

-- How many deliveries are in each state, kept by the writer so that nobody has to count.
CREATE TABLE delivery_counts (
    state TEXT PRIMARY KEY,
    n     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO delivery_counts VALUES ('Pending', 0), ('Delivered', 0), ('Failed', 0), ('Discarded', 0);

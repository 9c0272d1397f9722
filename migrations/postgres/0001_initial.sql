-- The twin of migrations/sqlite/0001_initial.sql, and what several replicas need beside it.
-- Times are unix milliseconds in UTC. What is called sealed is encrypted by the vault.
-- Every key of a table that grows holds the application: it would be the distribution column.

CREATE TABLE enterprises (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    created_ms bigint NOT NULL
);

CREATE TABLE applications (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    created_ms bigint NOT NULL
);

CREATE TABLE webhooks (
    id             uuid NOT NULL,
    application_id uuid NOT NULL,
    url_sealed     bytea NOT NULL,
    description    text NOT NULL,
    actions        smallint NOT NULL,   -- one bit for each action; 255 is all, later ones too
    profile        text NOT NULL,
    state          text NOT NULL CHECK (state IN ('Enabled', 'Paused', 'Disabled')),
    state_reason   text,
    timeout_ms     bigint NOT NULL,
    retry_schedule bigint[] NOT NULL,   -- seconds before each try
    max_in_flight  bigint NOT NULL,
    rate_limit     bigint,
    headers_sealed bytea,               -- name and value pairs, JSON
    secrets_sealed bytea NOT NULL,      -- newest first, JSON
    created_ms     bigint NOT NULL,
    not_before_ms  bigint,              -- a receiver's Retry-After
    revision       bigint NOT NULL,
    deleted_ms     bigint,
    PRIMARY KEY (id, application_id)
);

CREATE INDEX webhooks_application ON webhooks (application_id, id) WHERE deleted_ms IS NULL;

CREATE TABLE integrations (
    id                      uuid NOT NULL,
    application_id          uuid NOT NULL,
    enterprise_id           uuid NOT NULL,
    name                    text NOT NULL,
    is_enabled              boolean NOT NULL,
    created_ms              bigint NOT NULL,
    canceled_ms             bigint,
    deleted_ms              bigint,
    sequence                bigint NOT NULL,
    service_id              uuid,
    service_name            text,
    token_hash              bytea,
    previous_token_hash     bytea,
    previous_token_until_ms bigint,
    PRIMARY KEY (id),
    CHECK ((deleted_ms IS NULL) = (token_hash IS NOT NULL)),
    CHECK ((previous_token_hash IS NULL) = (previous_token_until_ms IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX integrations_application ON integrations (application_id, id);
CREATE INDEX integrations_enterprise ON integrations (enterprise_id, id);

-- Immutable, but for the erasure of bodies.
CREATE TABLE messages (
    integration_id uuid NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence > 0),
    application_id uuid NOT NULL,
    action         text NOT NULL,
    created_ms     bigint NOT NULL,
    requestor      text,                -- JSON
    is_sealed      boolean NOT NULL,    -- whether the bodies are: those that carry an access token are
    body           bytea,               -- NULL once erased
    body_2025      bytea,               -- where profile 2025 differs
    PRIMARY KEY (integration_id, sequence, application_id)
);

-- Ids grow with time. At most one delivery of a lane that is pending has a next attempt: its head.
CREATE TABLE deliveries (
    id              uuid NOT NULL,
    webhook_id      uuid NOT NULL,
    application_id  uuid NOT NULL,
    integration_id  uuid NOT NULL,
    sequence        bigint NOT NULL,
    previous        bigint NOT NULL,
    action          text NOT NULL,
    profile         text NOT NULL,      -- the webhook's when it was made: it decides which bytes are sent, for good
    state           text NOT NULL CHECK (state IN ('Pending', 'Delivered', 'Failed', 'Discarded')),
    cause           text,
    reason          text,
    attempt_count   bigint NOT NULL,
    tries           bigint NOT NULL,
    next_attempt_ms bigint,
    planned_ms      bigint,             -- the try of the schedule that a replay has moved aside
    created_ms      bigint NOT NULL,
    ended_ms        bigint,
    PRIMARY KEY (id, application_id),
    CHECK ((state = 'Pending') = (ended_ms IS NULL))
);

CREATE UNIQUE INDEX deliveries_lane ON deliveries (integration_id, webhook_id, sequence, application_id);
CREATE INDEX deliveries_due ON deliveries (webhook_id, next_attempt_ms, id) WHERE next_attempt_ms IS NOT NULL;
CREATE INDEX deliveries_application ON deliveries (application_id, id);
CREATE INDEX deliveries_failed ON deliveries (id) WHERE state = 'Failed';

CREATE TABLE attempts (
    delivery_id      uuid NOT NULL,
    number           bigint NOT NULL,
    application_id   uuid NOT NULL,
    started_ms       bigint NOT NULL,
    duration_us      bigint NOT NULL,
    cause            text,
    detail           text,
    signature        text NOT NULL,
    traceparent      text NOT NULL,
    status           bigint,
    response_headers text,              -- name and value pairs, JSON
    response_body    bytea,
    is_truncated     boolean NOT NULL,
    dns_us           bigint,
    connect_us       bigint,
    tls_us           bigint,
    send_us          bigint,
    wait_us          bigint,
    receive_us       bigint,
    remote           text,
    PRIMARY KEY (delivery_id, number, application_id)
);

-- Which replica has an attempt of which lane under way. One row a lane: that is what keeps order. A claim ends with
-- its row; one whose lease is over may be taken by another replica, and the number of the former is worth nothing.
CREATE TABLE claims (
    webhook_id     uuid NOT NULL,
    integration_id uuid NOT NULL,
    application_id uuid NOT NULL,
    delivery_id    uuid NOT NULL,
    fence          bigint NOT NULL,
    holder         uuid NOT NULL,
    lease_until    timestamptz NOT NULL, -- by this database's clock
    waits          boolean NOT NULL,     -- whether another delivery of the lane waits for this attempt
    PRIMARY KEY (webhook_id, integration_id, application_id)
);

CREATE SEQUENCE claim_fences;

-- Up to when the requests are spent that webhooks with a rate limit may have: by this database's clock. Whoever took the
-- last ones keeps the pace by itself, until another takes some.
CREATE TABLE paces (
    webhook_id     uuid NOT NULL,
    application_id uuid NOT NULL,
    holder         uuid NOT NULL,
    spent_until    timestamptz NOT NULL,
    PRIMARY KEY (webhook_id, application_id)
) WITH (fillfactor = 50);

CREATE TABLE idempotency (
    key           bytea PRIMARY KEY,    -- SHA-256
    fingerprint   bytea NOT NULL,       -- SHA-256
    answer_sealed bytea NOT NULL,
    until_ms      bigint NOT NULL
);

CREATE INDEX idempotency_until ON idempotency (until_ms);

CREATE TABLE api_keys (
    id             uuid PRIMARY KEY,
    name           text NOT NULL,
    scope          text NOT NULL,
    application_id uuid,
    hash           bytea NOT NULL UNIQUE,
    created_ms     bigint NOT NULL,
    expires_ms     bigint
);

-- How many deliveries are in each state, so that nobody has to count. The sum over the shards is the number: writers
-- take shards of their own, so that one row is not what all of them wait for.
CREATE TABLE delivery_counts (
    shard bigint NOT NULL,
    state text NOT NULL,
    n     bigint NOT NULL,
    PRIMARY KEY (shard, state)
) WITH (fillfactor = 50);

-- A known text, sealed by the first replica: one with another key finds out when it starts.
CREATE TABLE vault_check (
    is_here boolean PRIMARY KEY CHECK (is_here),
    sealed  bytea NOT NULL
);

-- Ways into the dashboard: links that are used once, and sessions. What is kept is the SHA-256 of a random text.
CREATE TABLE sign_ins (
    hash           bytea PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('Link', 'Session')),
    scope          text NOT NULL CHECK (scope IN ('operator', 'application')),
    application_id uuid,
    created_ms     bigint NOT NULL,
    idle_until_ms  bigint NOT NULL, -- moves on while a session is used, up to expires_ms
    expires_ms     bigint NOT NULL
);

CREATE INDEX sign_ins_idle ON sign_ins (idle_until_ms);

-- Ways into the dashboard: links that are used once, and sessions. What is kept is the SHA-256 of a random text.
CREATE TABLE sign_ins (
    hash           BLOB PRIMARY KEY,
    kind           TEXT NOT NULL CHECK (kind IN ('Link', 'Session')),
    scope          TEXT NOT NULL CHECK (scope IN ('operator', 'application')),
    application_id BLOB,
    created_ms     INTEGER NOT NULL,
    idle_until_ms  INTEGER NOT NULL, -- moves on while a session is used, up to expires_ms
    expires_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sign_ins_idle ON sign_ins (idle_until_ms);

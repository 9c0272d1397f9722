-- Sealing anew with a newer key: each key that was ever known, in the order in which they became known. One that was put
-- in front has begun; the one with the highest number of those seals.
-- The twin also makes vault_check, which is here from the beginning.
CREATE TABLE resealings (
    number     bigint PRIMARY KEY,
    key_id     bytea NOT NULL UNIQUE, -- what each value begins with that the key has sealed
    at_table   text,                  -- which is gone through
    at_row     bytea,                 -- the row of it that was looked at last
    is_dirty   boolean NOT NULL,      -- whether to go through all once more
    resealed   bigint NOT NULL,
    unreadable bigint NOT NULL,
    begun_ms   bigint,
    ended_ms   bigint
);

-- Sealing anew with a newer key: each key that was ever known, in the order in which they became known. One that was put
-- in front has begun; the one with the highest number of those seals.
CREATE TABLE resealings (
    number     INTEGER PRIMARY KEY,
    key_id     BLOB NOT NULL UNIQUE, -- what each value begins with that the key has sealed
    at_table   TEXT,                 -- which is gone through
    at_row     BLOB,                 -- the row of it that was looked at last
    is_dirty   INTEGER NOT NULL,     -- whether to go through all once more
    resealed   INTEGER NOT NULL,
    unreadable INTEGER NOT NULL,
    begun_ms   INTEGER,
    ended_ms   INTEGER
) STRICT;

-- What tells whether a key is this database's. At most one row.
CREATE TABLE vault_check (
    is_here INTEGER PRIMARY KEY CHECK (is_here = 1),
    sealed  BLOB NOT NULL
) STRICT;

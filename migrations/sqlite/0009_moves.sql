-- The copy that has taken the place of this database: while there is a row, this one is not served. At most one.
CREATE TABLE moved (
    id       BLOB PRIMARY KEY, -- of the copy; the target has the same in its table copied
    target   TEXT NOT NULL,    -- where it went: no user, no password
    moved_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

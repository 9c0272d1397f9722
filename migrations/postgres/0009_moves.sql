-- The copy of an embedded database that this one began as; empty if it began by itself. At most one row. The twin, moved,
-- is in the database that was copied.
CREATE TABLE copied (
    id        uuid PRIMARY KEY,
    copied_ms bigint NOT NULL
);

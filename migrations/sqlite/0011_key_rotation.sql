-- A rotated key: the former one works until its overlap ends. What idempotency knows the key by is the hash of the first
-- one, NULL for as long as that is the present one. When it was last used is noted now and then, not at each request.
ALTER TABLE api_keys ADD COLUMN previous_hash BLOB;
ALTER TABLE api_keys ADD COLUMN previous_until_ms INTEGER;
ALTER TABLE api_keys ADD COLUMN first_hash BLOB;
ALTER TABLE api_keys ADD COLUMN last_used_ms INTEGER;

-- The SHA-256 of the API key that a link or a session was opened with: it ends with that key.
ALTER TABLE sign_ins ADD COLUMN key_hash bytea;

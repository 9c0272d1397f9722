-- Whether a redirect within the same origin is followed. No webhook of before does.
ALTER TABLE webhooks ADD COLUMN follow_redirects INTEGER NOT NULL DEFAULT 0;

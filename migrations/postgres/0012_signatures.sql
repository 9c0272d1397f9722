-- How requests are signed, a bit for each way. NULL: as the secrets say, for webhooks of before.
ALTER TABLE webhooks ADD COLUMN signatures smallint;

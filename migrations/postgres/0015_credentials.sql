-- How the webhook authenticates towards its receiver: JSON, sealed.
ALTER TABLE webhooks ADD COLUMN authentication_sealed bytea;
-- Its client certificate and the key: JSON, sealed.
ALTER TABLE webhooks ADD COLUMN certificate_sealed bytea;

-- When a receiver asked for the pause that ends at not_before_ms. What is left of the pause is known by it when the clock
-- is set back.
ALTER TABLE webhooks ADD COLUMN asked_ms INTEGER;

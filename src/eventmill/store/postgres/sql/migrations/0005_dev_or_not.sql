-- Whether gateways in dev mode work on this database, which empty it and move its time for whoever asks on their machine.
-- The first start decides; NULL until then.
ALTER TABLE eventmill.gateway ADD COLUMN dev boolean;

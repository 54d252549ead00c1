-- What the health of registrations is judged by.

-- counted_ms: attempts that began earlier do not count. split_ms: start of the last bucket out of turn.
ALTER TABLE lane ADD COLUMN counted_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN split_ms INTEGER NOT NULL DEFAULT 0;

-- Units whose retries ran out in the bucket.
ALTER TABLE tally ADD COLUMN gave_up INTEGER NOT NULL DEFAULT 0;

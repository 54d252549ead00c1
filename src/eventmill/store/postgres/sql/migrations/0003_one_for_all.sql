-- What one node does for all, and what all nodes share.

-- Which process does what is done once for all, until when; `term` grows with each change.
CREATE TABLE eventmill.presidency (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    term   bigint NOT NULL DEFAULT 0,
    holder uuid,
    till   timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);
INSERT INTO eventmill.presidency DEFAULT VALUES;

-- Whose failures grew is asked several times a second.
CREATE INDEX tally_failing ON eventmill.tally (bucket_ms) WHERE failed > 0 OR gave_up > 0;

-- Buckets of permits, one per key: full_ns is when it is full again, by the database's clock, which says how much is in
-- it. A crash or a failover empties the table: then all are full.
CREATE UNLOGGED TABLE eventmill.permit (
    key     text COLLATE "C" PRIMARY KEY,
    full_ns bigint NOT NULL
) WITH (fillfactor = 20);

-- Takes up to `wanted` permits of a key whose bucket holds `capacity` and is refilled within the window; with none to be
-- had, answers after how long one is.
CREATE FUNCTION eventmill.take_permits_1(
    asked text, wanted integer, capacity integer, window_ns bigint, OUT granted integer, OUT wait_ns bigint
) LANGUAGE plpgsql AS $take$
DECLARE
    now_ns    bigint := (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint;
    refill_ns bigint := greatest(1, window_ns / capacity);
    known_ns  bigint;
BEGIN
    -- Locks the row that is there: one that was only looked for might be deleted meanwhile, as full ones are.
    INSERT INTO eventmill.permit AS known (key, full_ns) VALUES (asked, 0)
    ON CONFLICT (key) DO UPDATE SET full_ns = known.full_ns
    RETURNING full_ns INTO known_ns;
    known_ns := least(greatest(known_ns, now_ns), now_ns + window_ns);
    granted := least(wanted, (now_ns + window_ns - known_ns) / refill_ns);
    wait_ns := CASE WHEN granted = 0 THEN known_ns + refill_ns - now_ns - window_ns ELSE 0 END;
    UPDATE eventmill.permit SET full_ns = known_ns + granted * refill_ns WHERE key = asked;
END
$take$;

-- Numbers are given out before they are committed: a reader that has come to one must not find a lower one later. Told
-- from the transaction that wrote the row; older rows were there before.
ALTER TABLE eventmill.phi_audit ADD COLUMN written xid8;
ALTER TABLE eventmill.phi_audit ALTER COLUMN written SET DEFAULT pg_current_xact_id();

-- Development mode. A node that moves the clock raises `settle`; the others answer in their rows when all is done that
-- was due then, and when they have something to do next; NULL: not in development mode, or not yet. clock_rate: set at
-- run time; NULL: by each node's settings.
ALTER TABLE eventmill.gateway
    ADD COLUMN settle     bigint NOT NULL DEFAULT 0,
    ADD COLUMN clock_rate double precision;
ALTER TABLE eventmill.node
    ADD COLUMN settled bigint,
    ADD COLUMN due_ms  bigint;

-- Everything lives in the schema `eventmill`, which the connection that migrates has made.

-- One row. Whoever writes the catalogue holds its lock to commit, so that epochs have no gap and come in commit order.
CREATE TABLE eventmill.gateway (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation      bigint NOT NULL DEFAULT 1,
    epoch           bigint NOT NULL DEFAULT 0,
    clock_offset_ms bigint NOT NULL DEFAULT 0,
    clock_jumped_ms bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO eventmill.gateway DEFAULT VALUES;

CREATE TABLE eventmill.counter (
    name  text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
) WITH (fillfactor = 20);

-- The last thing that was written over a connection, and what came of it: after a lost connection this tells whether to
-- repeat it. The lock on the row makes the repetition wait for a backend that still works on it.
CREATE TABLE eventmill.channel (
    id      uuid PRIMARY KEY,
    number  bigint NOT NULL,
    result  bigint[] NOT NULL,
    touched timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20);

-- Catalogue

-- created: change epoch of the creation, so that it orders
CREATE TABLE eventmill.doc (
    kind    text COLLATE "C" NOT NULL,
    org     text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    doc     bytea NOT NULL,
    created bigint NOT NULL,
    PRIMARY KEY (kind, org, id)
);

-- org comes late in the key: some names are unique over all organizations. value: UTF-8, as text knows no NUL.
CREATE TABLE eventmill.doc_key (
    kind  text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    org   text COLLATE "C" NOT NULL,
    id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, name, value, org, id)
);
CREATE INDEX doc_key_of ON eventmill.doc_key (kind, org, id);

CREATE TABLE eventmill.change (
    epoch bigint PRIMARY KEY,
    org   text COLLATE "C" NOT NULL,
    kind  text COLLATE "C" NOT NULL,
    id    text COLLATE "C" NOT NULL
);

-- The log

-- head: last assigned position. dropped: last position that retention took.
CREATE TABLE eventmill.shard (
    id         smallint PRIMARY KEY,
    head       bigint NOT NULL DEFAULT 0,
    last_ts_ms bigint NOT NULL DEFAULT 0,
    dropped    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO eventmill.shard (id) SELECT generate_series(0, 255);

-- An organization keeps its shard. epoch: that of its last change; written under the lock of the shard's row.
CREATE TABLE eventmill.org (
    org   text COLLATE "C" PRIMARY KEY,
    shard smallint NOT NULL REFERENCES eventmill.shard (id),
    epoch bigint NOT NULL
) WITH (fillfactor = 50);

-- Where the days of a shard begin. Days are counted from 1970-01-01.
CREATE TABLE eventmill.shard_day (
    shard     smallint NOT NULL,
    day       integer NOT NULL,
    first_seq bigint NOT NULL,
    PRIMARY KEY (shard, day)
);

CREATE TABLE eventmill.org_day (
    org   text COLLATE "C" NOT NULL,
    day   integer NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (org, day)
) WITH (fillfactor = 50);

CREATE TABLE eventmill.origin (
    id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org    text COLLATE "C" NOT NULL,
    digest bytea NOT NULL UNIQUE,
    origin bytea NOT NULL
);

-- lanes: four bytes each. body: never compressed, it is joined into pages as it is. The day comes last in the key, as in
-- that of postings: whoever reads on from a position names no one day, and would go through all shards and lanes that
-- come after in each.
CREATE TABLE eventmill.event (
    seq      bigint NOT NULL,
    ts_ms    bigint NOT NULL,
    day      integer NOT NULL,
    origin   integer NOT NULL,
    shard    smallint NOT NULL,
    event_id bytea NOT NULL,
    lanes    bytea NOT NULL,
    body     bytea NOT NULL,
    PRIMARY KEY (shard, seq, day)
) PARTITION BY LIST (day);
ALTER TABLE eventmill.event ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX event_by_id ON eventmill.event (event_id);

-- The positions that one commit added to a lane's journal: all from first_seq to last_seq, or those that `rest` tells.
CREATE TABLE eventmill.posting (
    first_seq bigint NOT NULL,
    last_seq  bigint NOT NULL,
    lane      bigint NOT NULL,
    day       integer NOT NULL,
    rest      bytea,
    PRIMARY KEY (lane, last_seq, day)
) PARTITION BY LIST (day);

CREATE SEQUENCE eventmill.attempt_id;
CREATE TABLE eventmill.attempt (
    id    bigint NOT NULL DEFAULT nextval('eventmill.attempt_id'),
    lane  bigint NOT NULL,
    day   integer NOT NULL,
    block bytea NOT NULL
) PARTITION BY LIST (day);
CREATE INDEX attempt_of ON eventmill.attempt (lane, id);

-- Delivery

CREATE TABLE eventmill.node (
    id   uuid PRIMARY KEY,
    till timestamptz NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE eventmill.slot (
    slot  smallint PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    owner uuid,
    till  timestamptz
) WITH (fillfactor = 20);
INSERT INTO eventmill.slot (slot) SELECT generate_series(0, 1023);

-- opened: head when the lane began; its journal lies above. floor: highest position dropped by retention.
-- counted_ms: attempts that began earlier do not count. split_ms: start of the last bucket out of turn.
-- traces_ok, traces_failed: how many there ever were.
CREATE TABLE eventmill.lane (
    lane            bigint PRIMARY KEY,
    mark            bigint NOT NULL,
    opened          bigint NOT NULL,
    floor           bigint NOT NULL DEFAULT 0,
    counted_ms      bigint NOT NULL DEFAULT 0,
    split_ms        bigint NOT NULL DEFAULT 0,
    traces_ok       bigint NOT NULL DEFAULT 0,
    traces_failed   bigint NOT NULL DEFAULT 0,
    shard           smallint NOT NULL,
    slot            smallint NOT NULL,
    disabled        boolean NOT NULL DEFAULT false,
    gapped          boolean NOT NULL DEFAULT false,
    org             text COLLATE "C" NOT NULL,
    registration_id text COLLATE "C" NOT NULL,
    done            bigint[] NOT NULL DEFAULT '{}',
    tombstone       bytea
) WITH (fillfactor = 50);
CREATE INDEX lane_of ON eventmill.lane (slot);

CREATE TABLE eventmill.gap (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane      bigint NOT NULL,
    from_seq  bigint NOT NULL,
    to_seq    bigint,
    opened_ms bigint NOT NULL,
    closed_ms bigint,
    cause     text NOT NULL,
    settled   bigint[] NOT NULL
);
CREATE INDEX gap_of ON eventmill.gap (lane, id);
CREATE INDEX gap_age ON eventmill.gap (closed_ms);

-- first_seq, span: lowest position, and how much higher the highest is. size: how many positions.
CREATE TABLE eventmill.unit (
    unit_id   bytea PRIMARY KEY,
    lane      bigint NOT NULL,
    first_seq bigint NOT NULL,
    span      bigint NOT NULL,
    first_ms  bigint NOT NULL,
    due_ms    bigint NOT NULL,
    size      integer NOT NULL,
    retries   integer NOT NULL,
    cause     integer NOT NULL,
    batch     boolean NOT NULL,
    replay    bytea NOT NULL,
    positions bigint[] NOT NULL
);
CREATE INDEX unit_due ON eventmill.unit (lane, (replay <> ''), due_ms, first_seq);
CREATE INDEX unit_at ON eventmill.unit (lane, first_seq);
CREATE INDEX unit_spanned ON eventmill.unit (lane, first_seq) WHERE span > 0;
CREATE INDEX unit_longest ON eventmill.unit (lane, span) WHERE span > 0;
CREATE INDEX unit_age ON eventmill.unit (lane, first_ms);
CREATE INDEX unit_of_replay ON eventmill.unit (replay) WHERE replay <> '';

CREATE TABLE eventmill.ended (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane      bigint NOT NULL,
    first_seq bigint NOT NULL,
    span      bigint NOT NULL,
    at_ms     bigint NOT NULL,
    size      integer NOT NULL,
    cause     integer NOT NULL,
    outcome   text COLLATE "C" NOT NULL,
    replay    bytea NOT NULL,
    positions bigint[] NOT NULL
);
CREATE INDEX ended_of ON eventmill.ended (lane, id);
CREATE INDEX ended_at ON eventmill.ended (lane, first_seq, id);
CREATE INDEX ended_spanned ON eventmill.ended (lane, first_seq) WHERE span > 0;
CREATE INDEX ended_longest ON eventmill.ended (lane, span) WHERE span > 0;
CREATE INDEX ended_age ON eventmill.ended (at_ms);

-- handed: positions given to units. failed: those of them that ended undelivered.
CREATE TABLE eventmill.replay_tally (
    replay bytea PRIMARY KEY,
    lane   bigint NOT NULL,
    handed bigint NOT NULL,
    failed bigint NOT NULL,
    at_ms  bigint NOT NULL
);
CREATE INDEX replay_tally_of ON eventmill.replay_tally (lane);
CREATE INDEX replay_tally_age ON eventmill.replay_tally (at_ms);

-- A ring per lane and kind: slot is replaced round robin, n counts on.
CREATE TABLE eventmill.trace (
    lane      bigint NOT NULL,
    n         bigint NOT NULL,
    ts_ms     bigint NOT NULL,
    slot      integer NOT NULL,
    ok        boolean NOT NULL,
    positions bigint[] NOT NULL,
    detail    bytea NOT NULL,
    PRIMARY KEY (lane, ok, slot)
);
CREATE INDEX trace_age ON eventmill.trace (ts_ms);

CREATE TABLE eventmill.tally (
    lane      bigint NOT NULL,
    bucket_ms bigint NOT NULL,
    ok        bigint NOT NULL,
    failed    bigint NOT NULL,
    gave_up   bigint NOT NULL,
    PRIMARY KEY (lane, bucket_ms)
) WITH (fillfactor = 50);
CREATE INDEX tally_age ON eventmill.tally (bucket_ms);

-- Published events that no registration was there for; id counts on over all organizations. published_id: UTF-8.
CREATE TABLE eventmill.unmatched (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms        bigint NOT NULL,
    org          text COLLATE "C" NOT NULL,
    event_id     bytea NOT NULL,
    published_id bytea NOT NULL,
    detail       bytea NOT NULL
);
CREATE INDEX unmatched_of ON eventmill.unmatched (org, id);
CREATE INDEX unmatched_age ON eventmill.unmatched (at_ms);

-- All of them, those included that are remembered no longer.
CREATE TABLE eventmill.unmatched_tally (
    org       text COLLATE "C" NOT NULL,
    bucket_ms bigint NOT NULL,
    events    bigint NOT NULL,
    PRIMARY KEY (org, bucket_ms)
);
CREATE INDEX unmatched_tally_age ON eventmill.unmatched_tally (bucket_ms);

-- The audit trail of events with protected health information. Rows are added, and go by age; none is ever changed.
-- Texts of publishers are UTF-8: text knows no NUL.
CREATE TABLE eventmill.phi_audit (
    number          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms           bigint NOT NULL,
    status          integer NOT NULL,
    org             text COLLATE "C" NOT NULL,
    event_id        bytea NOT NULL,
    id              bytea NOT NULL,
    provider_id     bytea NOT NULL,
    event_code      bytea NOT NULL,
    client_id       bytea NOT NULL,
    registration_id text NOT NULL,
    outcome         text NOT NULL
);
CREATE INDEX phi_audit_of ON eventmill.phi_audit (org, number);
CREATE INDEX phi_audit_age ON eventmill.phi_audit (at_ms);
CREATE FUNCTION eventmill.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$refuse$;
CREATE TRIGGER phi_audit_stays BEFORE UPDATE ON eventmill.phi_audit
    FOR EACH ROW EXECUTE FUNCTION eventmill.refuse_change();

-- The kept events that such rows are written for, by position.
CREATE TABLE eventmill.phi_event (
    seq         bigint NOT NULL,
    shard       smallint NOT NULL,
    org         text COLLATE "C" NOT NULL,
    event_id    bytea NOT NULL,
    id          bytea NOT NULL,
    provider_id bytea NOT NULL,
    event_code  bytea NOT NULL,
    client_id   bytea NOT NULL,
    PRIMARY KEY (shard, seq)
);

-- Appends one batch, in one round trip and one commit. Events and postings name their shard by its place (`*_at`) in
-- `shards`, which ascends, and their position by its distance from the shard's head before.
-- Answers `1`, then the head before and the day of each shard; or `0`, then the places of organizations in `orgs` that
-- changed after their `epochs`, and nothing was written. Each statement of a function sees what was committed before
-- it, so the epochs are those under the shards' locks.
CREATE FUNCTION eventmill.append_1(
    channel_id uuid, batch bigint, now_ms bigint,
    orgs text[], epochs bigint[], org_ats integer[], org_bytes bigint[],
    shards smallint[], counts integer[],
    event_ats integer[], event_offsets integer[], event_ids bytea[], origins integer[], lanes bytea[], bodies bytea[],
    posting_ats integer[], posting_lanes bigint[], firsts integer[], lasts integer[], rests bytea[],
    audit_ats integer[], audit_offsets integer[], audit_orgs text[], audit_event_ids bytea[],
    audit_ids bytea[], audit_providers bytea[], audit_codes bytea[], audit_clients bytea[]
) RETURNS bigint[] LANGUAGE plpgsql AS $append$
DECLARE
    known  record;
    answer bigint[];
    bases  bigint[];
    times  bigint[];
    days   integer[];
BEGIN
    SELECT number, result INTO known FROM eventmill.channel WHERE id = channel_id FOR UPDATE;
    IF NOT FOUND THEN
        -- Whoever sent this is gone, or connects and sends it again.
        RAISE EXCEPTION 'the channel was forgotten' USING ERRCODE = 'connection_does_not_exist';
    END IF;
    -- A higher number: this was repeated elsewhere long ago, and nobody waits for the answer.
    IF known.number >= batch THEN
        RETURN known.result;
    END IF;
    PERFORM 1 FROM eventmill.shard WHERE id = ANY (shards) ORDER BY id FOR UPDATE;
    SELECT array_agg(asked.place) INTO answer
        FROM unnest(orgs, epochs) WITH ORDINALITY AS asked (org, epoch, place)
        JOIN eventmill.org ON org.org = asked.org
        WHERE org.epoch > asked.epoch;
    IF answer IS NOT NULL THEN
        RETURN 0::bigint || answer;
    END IF;
    INSERT INTO eventmill.shard_day (shard, day, first_seq)
        SELECT id, now_ms / 86400000, head + 1 FROM eventmill.shard
        WHERE id = ANY (shards) AND last_ts_ms / 86400000 < now_ms / 86400000;
    WITH moved AS (
        UPDATE eventmill.shard SET head = head + taken.count, last_ts_ms = greatest(last_ts_ms, now_ms)
        FROM unnest(shards, counts) AS taken (shard, count)
        WHERE id = taken.shard
        RETURNING id, head - taken.count AS base, last_ts_ms
    )
    SELECT array_agg(base ORDER BY id), array_agg(last_ts_ms ORDER BY id), array_agg(last_ts_ms / 86400000 ORDER BY id)
        INTO bases, times, days FROM moved;
    INSERT INTO eventmill.event (day, shard, seq, ts_ms, event_id, origin, lanes, body)
        SELECT days[new.at], shards[new.at], bases[new.at] + new.distance, times[new.at],
               new.event_id, new.origin, new.lanes, new.body
        FROM unnest(event_ats, event_offsets, event_ids, origins, lanes, bodies)
            AS new (at, distance, event_id, origin, lanes, body);
    INSERT INTO eventmill.posting (day, lane, first_seq, last_seq, rest)
        SELECT days[new.at], new.lane, bases[new.at] + new.first, bases[new.at] + new.last, new.rest
        FROM unnest(posting_ats, posting_lanes, firsts, lasts, rests) AS new (at, lane, first, last, rest);
    INSERT INTO eventmill.org_day AS kept (org, day, bytes)
        SELECT new.org, days[new.at], new.bytes FROM unnest(orgs, org_ats, org_bytes) AS new (org, at, bytes)
        ON CONFLICT (org, day) DO UPDATE SET bytes = kept.bytes + excluded.bytes;
    IF cardinality(audit_ats) > 0 THEN
        INSERT INTO eventmill.phi_event (shard, seq, org, event_id, id, provider_id, event_code, client_id)
            SELECT shards[new.at], bases[new.at] + new.distance, new.org, new.event_id, new.id,
                   new.provider_id, new.event_code, new.client_id
            FROM unnest(audit_ats, audit_offsets, audit_orgs, audit_event_ids,
                        audit_ids, audit_providers, audit_codes, audit_clients)
                AS new (at, distance, org, event_id, id, provider_id, event_code, client_id);
        INSERT INTO eventmill.phi_audit
            (org, at_ms, event_id, id, provider_id, event_code, client_id, registration_id, outcome, status)
            SELECT new.org, now_ms, new.event_id, new.id, new.provider_id, new.event_code, new.client_id,
                   '', 'received', 0
            FROM unnest(audit_orgs, audit_event_ids, audit_ids, audit_providers, audit_codes, audit_clients)
                WITH ORDINALITY AS new (org, event_id, id, provider_id, event_code, client_id, place)
            ORDER BY place;
    END IF;
    answer := 1::bigint || bases || days::bigint[];
    UPDATE eventmill.channel SET number = batch, result = answer, touched = now() WHERE id = channel_id;
    RETURN answer;
END
$append$;

-- The position before the first of the shard's events at or after a time; NULL when there is no such event. Time never
-- falls along positions.
CREATE FUNCTION eventmill.seek_1(wanted_shard smallint, wanted_ms bigint)
RETURNS bigint LANGUAGE plpgsql STABLE AS $seek$
DECLARE
    low     bigint;
    high    bigint;
    middle  bigint;
    found   record;
    at_day  integer;
BEGIN
    FOR at_day IN
        SELECT day FROM eventmill.shard_day
        WHERE shard = wanted_shard AND day >= wanted_ms / 86400000 ORDER BY day
    LOOP
        SELECT seq, ts_ms INTO found FROM eventmill.event
            WHERE day = at_day AND shard = wanted_shard ORDER BY seq DESC LIMIT 1;
        CONTINUE WHEN found.seq IS NULL OR found.ts_ms < wanted_ms;
        high := found.seq;
        SELECT seq INTO low FROM eventmill.event
            WHERE day = at_day AND shard = wanted_shard ORDER BY seq LIMIT 1;
        WHILE low < high LOOP
            middle := (low + high) / 2;
            SELECT seq, ts_ms INTO found FROM eventmill.event
                WHERE day = at_day AND shard = wanted_shard AND seq >= middle ORDER BY seq LIMIT 1;
            IF found.ts_ms < wanted_ms THEN
                low := found.seq + 1;
            ELSE
                high := least(middle, found.seq);
            END IF;
        END LOOP;
        RETURN low - 1;
    END LOOP;
    RETURN NULL;
END
$seek$;

-- Makes the tables of a day, unless they are there. Made first and attached then: that keeps nobody waiting.
CREATE FUNCTION eventmill.make_day_1(wanted integer)
RETURNS void LANGUAGE plpgsql AS $make$
DECLARE
    parent text;
    part   text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('eventmill days', 0));
    FOREACH parent IN ARRAY ARRAY['event', 'posting', 'attempt'] LOOP
        part := parent || '_' || wanted;
        IF to_regclass('eventmill.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE eventmill.%I (LIKE eventmill.%I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE eventmill.%I ATTACH PARTITION eventmill.%I FOR VALUES IN (%L)',
                           parent, part, wanted);
        END IF;
    END LOOP;
END
$make$;

CREATE FUNCTION eventmill.drop_day_1(dropped integer)
RETURNS void LANGUAGE plpgsql AS $drop$
DECLARE
    parent text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('eventmill days', 0));
    FOREACH parent IN ARRAY ARRAY['event', 'posting', 'attempt'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS eventmill.%I', parent || '_' || dropped);
    END LOOP;
END
$drop$;

CREATE FUNCTION eventmill.days_1()
RETURNS SETOF integer LANGUAGE sql STABLE AS $days$
    SELECT substr(relname, length('event_') + 1)::integer
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'eventmill.event'::regclass ORDER BY 1
$days$;

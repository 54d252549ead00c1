-- Pages of journals in one question, and days that go without keeping anybody waiting.

-- The next events of a lane, in a row per day: at most `wanted`, cut before the bodies exceed `bytes_max`, but at least
-- one. `more`: whether the lane holds events after them. `gone`: what of the lane retention had taken when this was
-- read; nothing up to there is in the page. No row for a lane that is not there or was deleted, and one without events
-- where there are none. All of it is of one moment. The plans are made once, whatever the values, and often while the
-- day's tables are empty: by the indexes, as is right for full ones.
CREATE FUNCTION eventmill.journal_page_1(wanted_lane bigint, after bigint, wanted integer, bytes_max bigint)
RETURNS TABLE (at_day integer, seqs bigint[], origins integer[], bodies bytea[], more boolean, gone bigint)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $page$
DECLARE
    place    record;
    begins   bigint;
    from_day integer;
    held    bigint[];
    days     integer[];
    part     bigint[];
    upto     integer;
    given    integer := 0;
    size     bigint;
    space    bigint := bytes_max;
BEGIN
    -- Whoever uses both tables names this one first, as those who append and those who drop a day do.
    PERFORM FROM ONLY eventmill.event;
    SELECT shard, opened, floor INTO place FROM eventmill.lane WHERE lane = wanted_lane AND tombstone IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    gone := place.floor;
    more := false;
    begins := greatest(after, place.opened, place.floor);
    SELECT coalesce(max(day), 0) INTO from_day FROM eventmill.shard_day
        WHERE shard = place.shard AND first_seq <= begins + 1;
    -- Nothing of this is sorted: postings come in order, and one is unpacked when those before it are used up.
    SELECT array_agg(next.seq), array_agg(next.day) INTO held, days FROM (
        SELECT post.day, unpacked.seq FROM (
            SELECT day, first_seq, last_seq, rest FROM eventmill.posting
            WHERE lane = wanted_lane AND day >= from_day AND last_seq > begins
            ORDER BY last_seq LIMIT wanted + 1
        ) AS post CROSS JOIN LATERAL (
            SELECT generate_series(
                greatest(post.first_seq, begins + 1),
                least(post.last_seq, greatest(post.first_seq, begins + 1) + wanted)) AS seq
            WHERE post.rest IS NULL
            UNION ALL
            SELECT post.first_seq + CASE width.bytes
                WHEN 1 THEN get_byte(post.rest, nth)
                WHEN 2 THEN get_byte(post.rest, 2 * nth) + (get_byte(post.rest, 2 * nth + 1) << 8)
                ELSE get_byte(post.rest, 4 * nth) + (get_byte(post.rest, 4 * nth + 1) << 8)
                    + (get_byte(post.rest, 4 * nth + 2) << 16) + (get_byte(post.rest, 4 * nth + 3)::bigint << 24)
            END
            FROM (SELECT CASE WHEN post.last_seq - post.first_seq < 256 THEN 1
                WHEN post.last_seq - post.first_seq < 65536 THEN 2 ELSE 4 END AS bytes) AS width,
                generate_series(0, octet_length(post.rest) / width.bytes - 1) AS nth
            WHERE post.rest IS NOT NULL
        ) AS unpacked
        WHERE unpacked.seq > begins
        LIMIT wanted + 1
    ) AS next;
    IF held IS NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    WHILE given < least(wanted, cardinality(held)) AND space > 0 LOOP
        at_day := days[given + 1];
        upto := least(wanted, cardinality(held));
        WHILE days[upto] <> at_day LOOP
            upto := upto - 1;
        END LOOP;
        part := held[given + 1 : upto];
        -- A stretch without holes is read as one; of others each event is looked up.
        IF held[upto] - held[given + 1] = upto - given - 1 THEN
            SELECT array_agg(fit.seq), array_agg(fit.origin), array_agg(fit.body), sum(fit.length)
                INTO seqs, origins, bodies, size FROM (
                    SELECT seq, origin, body, octet_length(body) AS length,
                        sum(octet_length(body)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS total
                    FROM eventmill.event
                    WHERE day = at_day AND shard = place.shard AND seq BETWEEN held[given + 1] AND held[upto]
                    ORDER BY seq
                ) AS fit WHERE fit.total <= space OR (given = 0 AND fit.total = fit.length);
        ELSE
            SELECT array_agg(fit.seq), array_agg(fit.origin), array_agg(fit.body), sum(fit.length)
                INTO seqs, origins, bodies, size FROM (
                    SELECT seq, origin, body, octet_length(body) AS length,
                        sum(octet_length(body)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS total
                    FROM unnest(part) AS asked (wanted_seq) CROSS JOIN LATERAL (
                        SELECT seq, origin, body FROM eventmill.event
                        WHERE day = at_day AND shard = place.shard AND seq = wanted_seq LIMIT 1
                    ) AS entry
                    ORDER BY seq
                ) AS fit WHERE fit.total <= space OR (given = 0 AND fit.total = fit.length);
        END IF;
        EXIT WHEN seqs IS NULL;
        given := given + cardinality(seqs);
        space := space - size;
        more := given < cardinality(held);
        RETURN NEXT;
        EXIT WHEN given < upto;
    END LOOP;
END
$page$;

-- Drops the tables of a day, and what is known of it, unless the last positions of its shards are others than those
-- given: then something was appended to it, and it answers false; null when they are gone already. Who appends to this day waits until this is
-- committed, and begins it anew; others wait for the tables only, which should be asked for with a short lock_timeout.
CREATE FUNCTION eventmill.retire_day_1(retired integer, shards smallint[], lasts bigint[])
RETURNS boolean LANGUAGE plpgsql AS $retire$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('eventmill days', 0));
    IF to_regclass('eventmill.event_' || retired) IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM eventmill.shard WHERE last_ts_ms / 86400000 = retired ORDER BY id FOR UPDATE;
    IF EXISTS (
        SELECT FROM eventmill.shard_day CROSS JOIN LATERAL (
            SELECT seq FROM eventmill.event
            WHERE event.day = retired AND event.shard = shard_day.shard ORDER BY seq DESC LIMIT 1
        ) AS last LEFT JOIN unnest(shards, lasts) AS known (shard, seq) ON known.shard = shard_day.shard
        WHERE shard_day.day = retired AND last.seq IS DISTINCT FROM known.seq
    ) THEN
        RETURN false;
    END IF;
    UPDATE eventmill.shard_day SET first_seq = head + 1 FROM eventmill.shard
        WHERE shard_day.day = retired AND shard.id = shard_day.shard AND last_ts_ms / 86400000 = retired;
    DELETE FROM eventmill.shard_day USING eventmill.shard
        WHERE shard_day.day = retired AND shard.id = shard_day.shard AND last_ts_ms / 86400000 <> retired;
    DELETE FROM eventmill.org_day WHERE day = retired;
    PERFORM eventmill.drop_day_1(retired);
    RETURN true;
END
$retire$;

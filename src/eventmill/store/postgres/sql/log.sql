-- Queries on events and journals.

-- name: append
SELECT eventmill.append_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $26, $27, $28);

-- name: make_day
SELECT eventmill.make_day_1($1);

-- name: find_origin
SELECT id FROM eventmill.origin WHERE digest = $1;

-- name: add_origin
INSERT INTO eventmill.origin (org, digest, origin) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING;

-- name: origins
SELECT id, origin FROM eventmill.origin WHERE id = ANY ($1::integer[]);

-- name: shard_of
SELECT shard FROM eventmill.org WHERE org = $1;

-- name: add_org
INSERT INTO eventmill.org (org, shard, epoch)
SELECT $1, (SELECT count(*) FROM eventmill.org) % (SELECT count(*) FROM eventmill.shard), 0
ON CONFLICT (org) DO NOTHING;

-- name: lane_place
SELECT shard, opened FROM eventmill.lane WHERE lane = $1;

-- name: shard_days
SELECT day, first_seq FROM eventmill.shard_day WHERE shard = $1 ORDER BY first_seq, day;

-- name: stored_bytes
SELECT org, sum(bytes)::bigint AS bytes FROM eventmill.org_day GROUP BY org;

-- Asked by every delivery process whenever something was appended: one row is read faster than 256.
-- name: heads
SELECT array_agg(id) AS ids, array_agg(head) AS heads FROM eventmill.shard;

-- What tells that something moved.
-- name: state
SELECT epoch, generation, clock_offset_ms, clock_jumped_ms, clock_rate, settle, (SELECT sum(head)::bigint FROM eventmill.shard) AS heads,
    current_setting('transaction_read_only') = 'on' AS read_only
FROM eventmill.gateway;

-- name: tell
SELECT pg_notify($1, $2);

-- name: head
SELECT generation, head, last_ts_ms FROM eventmill.gateway, eventmill.shard WHERE id = $1;

-- Postings of a lane after a position, from the day on that holds it. Nothing of a lane that was deleted, and nothing
-- that retention has put on record, whose day may be there for a moment more. Positions of later days are higher: in
-- their order each table is read from its first match on, and no further than is needed.
-- name: postings
SELECT day, first_seq, last_seq, rest FROM eventmill.posting
WHERE lane = $1 AND day >= $2 AND last_seq > greatest($3, (SELECT floor FROM eventmill.lane WHERE lane = $1))
    AND EXISTS (SELECT FROM eventmill.lane WHERE lane.lane = $1 AND tombstone IS NULL)
ORDER BY last_seq LIMIT $4;

-- Postings as delivery reads them: of deleted lanes too.
-- name: lane_postings
SELECT day, first_seq, last_seq, rest FROM eventmill.posting
WHERE lane = $1 AND day >= $2 AND last_seq > greatest($3, (SELECT floor FROM eventmill.lane WHERE lane = $1))
ORDER BY last_seq LIMIT $4;

-- name: events
SELECT seq, ts_ms, event_id, origin, body FROM eventmill.event
WHERE day = $1 AND shard = $2 AND seq BETWEEN $3 AND $4 AND seq = ANY ($5::bigint[])
ORDER BY seq;

-- name: outlines
SELECT seq, ts_ms, event_id, origin, octet_length(body) AS body_bytes FROM eventmill.event
WHERE day = $1 AND shard = $2 AND seq BETWEEN $3 AND $4 AND seq = ANY ($5::bigint[])
ORDER BY seq;

-- name: log
SELECT epoch, entry.seq, entry.lanes FROM eventmill.gateway LEFT JOIN LATERAL (
    SELECT seq, lanes FROM eventmill.event
    WHERE shard = $1 AND day >= $2 AND seq > $3
    ORDER BY seq LIMIT $4
) AS entry ON true
ORDER BY entry.seq;

-- name: event_by_id
SELECT event.seq, event.day, event.ts_ms, event.event_id, event.origin, event.body
FROM eventmill.event JOIN eventmill.origin ON origin.id = event.origin
WHERE event.event_id = $1 AND origin.org = $2;

-- name: seek
SELECT eventmill.seek_1($1, $2);

-- name: attempts_with
SELECT block FROM eventmill.attempt WHERE lane = $1 AND day >= $2 AND position($3 IN block) > 0 ORDER BY id;

-- name: times_of
SELECT found.ts_ms FROM unnest($1::integer[], $2::smallint[], $3::bigint[]) WITH ORDINALITY AS asked (day, shard, seq, place)
LEFT JOIN LATERAL (
    SELECT ts_ms FROM eventmill.event
    WHERE event.day = asked.day AND event.shard = asked.shard AND event.seq = asked.seq LIMIT 1
) AS found ON true
ORDER BY place;

-- name: attempts
SELECT block FROM eventmill.attempt WHERE lane = $1 ORDER BY id DESC LIMIT $2;

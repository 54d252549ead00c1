-- Queries of retention.

-- name: one_at_a_time
SELECT pg_advisory_xact_lock(hashtextextended('eventmill retention', 0));

-- name: days
SELECT eventmill.days_1();

-- Whoever appends queues behind the lock that a drop waits for, and that waits for whoever reads.
-- name: wait_little
SET LOCAL lock_timeout = '500ms';

-- name: drop_day
SELECT eventmill.drop_day_1($1);

-- The time of a day's last event: of each shard that was in it, the last.
-- name: newest
SELECT max(last.ts_ms) FROM eventmill.shard_day CROSS JOIN LATERAL (
    SELECT ts_ms FROM eventmill.event
    WHERE event.day = $1 AND event.shard = shard_day.shard ORDER BY seq DESC LIMIT 1
) AS last
WHERE shard_day.day = $1;

-- Shards whose last event is of the day: the others never come back to it.
-- name: lock_shards_of
SELECT FROM eventmill.shard WHERE last_ts_ms / 86400000 = $1 ORDER BY id FOR UPDATE;

-- Of each lane the last position in the day. The rows are locked, in the order in which all do.
-- name: lock_lanes_of
SELECT lane.lane, last.last_seq FROM eventmill.lane CROSS JOIN LATERAL (
    SELECT last_seq FROM eventmill.posting
    WHERE posting.day = $1 AND posting.lane = lane.lane ORDER BY last_seq DESC LIMIT 1
) AS last
ORDER BY lane.lane FOR UPDATE OF lane;

-- Lanes of which nothing is to be recorded, nearly all: everything was pushed or never was to be, and no gap in which
-- something was missed begins in the day or before.
-- name: pass_lanes
UPDATE eventmill.lane SET floor = last.seq, mark = greatest(mark, last.seq),
    done = CASE done WHEN '{}' THEN done ELSE ARRAY(SELECT seq FROM unnest(done) AS seq WHERE seq > last.seq) END
FROM unnest($1::bigint[], $2::bigint[]) AS last (lane, seq)
WHERE lane.lane = last.lane AND last.seq > opened AND (mark >= last.seq OR disabled OR tombstone IS NOT NULL)
    AND NOT (gapped AND EXISTS (
        SELECT FROM eventmill.gap WHERE gap.lane = last.lane AND from_seq <= last.seq AND cause <> $3))
RETURNING lane.lane;

-- name: postings
SELECT first_seq, last_seq, rest FROM eventmill.posting
WHERE day = $1 AND lane = $2 AND last_seq > $3 ORDER BY last_seq LIMIT $4;

-- name: lock_lane
SELECT lane, shard, registration_id, opened, mark, done, disabled, gapped, tombstone IS NOT NULL AS closed
FROM eventmill.lane WHERE lane = $1 FOR UPDATE;

-- name: pass_lane
UPDATE eventmill.lane SET floor = $2, mark = greatest(mark, $2), done = $3::text::bigint[] WHERE lane = $1;

-- Units that begin with a position of the day, or of an earlier one.
-- name: end_units_of
WITH last AS MATERIALIZED (
    SELECT shard_day.shard, gone.seq FROM eventmill.shard_day CROSS JOIN LATERAL (
        SELECT seq FROM eventmill.event
        WHERE event.day = $1 AND event.shard = shard_day.shard ORDER BY seq DESC LIMIT 1
    ) AS gone
    WHERE shard_day.day = $1
)
DELETE FROM eventmill.unit USING eventmill.lane, last
WHERE lane.lane = unit.lane AND lane.shard = last.shard AND unit.first_seq <= last.seq
RETURNING unit.lane, unit.positions, unit.cause, unit.replay, lane.shard, lane.registration_id;

-- name: pass_shards
UPDATE eventmill.shard SET dropped = last.seq
FROM eventmill.shard_day CROSS JOIN LATERAL (
    SELECT seq FROM eventmill.event
    WHERE event.day = $1 AND event.shard = shard_day.shard ORDER BY seq DESC LIMIT 1
) AS last
WHERE shard_day.day = $1 AND shard.id = shard_day.shard;

-- name: begin_anew
UPDATE eventmill.shard_day SET first_seq = head + 1 FROM eventmill.shard
WHERE shard_day.day = $1 AND shard.id = shard_day.shard AND last_ts_ms / 86400000 = $1;

-- name: forget_day
DELETE FROM eventmill.shard_day USING eventmill.shard
WHERE shard_day.day = $1 AND shard.id = shard_day.shard AND last_ts_ms / 86400000 <> $1;

-- name: forget_bytes
DELETE FROM eventmill.org_day WHERE day = $1;

-- name: forget_audited
DELETE FROM eventmill.phi_event USING eventmill.shard WHERE shard.id = phi_event.shard AND seq <= dropped;

-- name: drop_old_replay_tallies
-- A day later than all else: replays are listed as long as events are kept, with their tallies.
DELETE FROM eventmill.replay_tally WHERE at_ms < $1::bigint - 86400000;

-- name: drop_old_ended
DELETE FROM eventmill.ended WHERE at_ms < $1;

-- name: drop_old_tallies
DELETE FROM eventmill.tally WHERE bucket_ms < $1;

-- name: drop_old_gaps
DELETE FROM eventmill.gap USING eventmill.lane, eventmill.shard
WHERE closed_ms < $1 AND lane.lane = gap.lane AND shard.id = lane.shard AND to_seq <= dropped;

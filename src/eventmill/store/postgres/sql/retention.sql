-- Queries of retention.

-- name: days
SELECT eventmill.days_1();

-- The last position of a day, and its time, of each shard that was in it.
-- name: ends_of
SELECT shard_day.shard, last.seq, last.ts_ms FROM eventmill.shard_day CROSS JOIN LATERAL (
    SELECT seq, ts_ms FROM eventmill.event
    WHERE event.day = $1 AND event.shard = shard_day.shard ORDER BY seq DESC LIMIT 1
) AS last
WHERE shard_day.day = $1 ORDER BY shard_day.shard;

-- Of each lane that has not passed the day the last position in it.
-- name: lanes_of
SELECT lane.lane, last.last_seq FROM eventmill.lane CROSS JOIN LATERAL (
    SELECT last_seq FROM eventmill.posting
    WHERE posting.day = $1 AND posting.lane = lane.lane ORDER BY last_seq DESC LIMIT 1
) AS last
WHERE last.last_seq > floor ORDER BY lane.lane;

-- Lanes of which nothing is to be recorded, nearly all: everything was pushed or never was to be, and no gap in which
-- something was missed begins in the day or before. The rows are locked in the order in which all do.
-- name: pass_lanes
WITH last AS MATERIALIZED (
    SELECT lane.lane, asked.seq FROM unnest($1::bigint[], $2::bigint[]) AS asked (lane, seq)
    JOIN eventmill.lane ON lane.lane = asked.lane
    WHERE asked.seq > opened AND asked.seq > floor AND (mark >= asked.seq OR disabled OR tombstone IS NOT NULL)
        AND NOT (gapped AND EXISTS (
            SELECT FROM eventmill.gap WHERE gap.lane = asked.lane AND from_seq <= asked.seq AND cause <> $3))
    ORDER BY lane.lane FOR UPDATE OF lane
)
UPDATE eventmill.lane SET floor = last.seq, mark = greatest(mark, last.seq),
    done = CASE done WHEN '{}' THEN done ELSE ARRAY(SELECT seq FROM unnest(done) AS seq WHERE seq > last.seq) END
FROM last WHERE lane.lane = last.lane
RETURNING lane.lane;

-- name: lock_lanes
SELECT lane, shard, registration_id, opened, floor, mark, done, disabled, gapped, tombstone IS NOT NULL AS closed
FROM eventmill.lane WHERE lane = ANY ($1::bigint[]) ORDER BY lane FOR UPDATE;

-- Postings of lanes after a position of each; those of one ascend.
-- name: postings
SELECT asked.lane, found.first_seq, found.last_seq, found.rest
FROM unnest($2::bigint[], $3::bigint[]) AS asked (lane, after) CROSS JOIN LATERAL (
    SELECT first_seq, last_seq, rest FROM eventmill.posting
    WHERE posting.day = $1 AND posting.lane = asked.lane AND last_seq > asked.after ORDER BY last_seq
) AS found;

-- name: pass_recorded
UPDATE eventmill.lane SET floor = last.seq, mark = greatest(mark, last.seq),
    done = CASE done WHEN '{}' THEN done ELSE ARRAY(SELECT seq FROM unnest(done) AS seq WHERE seq > last.seq) END
FROM unnest($1::bigint[], $2::bigint[]) AS last (lane, seq) WHERE lane.lane = last.lane;

-- Lanes with units that begin with a position up to those given of shards. Locked before the units, as all do.
-- name: lock_lanes_of_units
SELECT FROM eventmill.lane WHERE lane IN (
    SELECT unit.lane FROM eventmill.unit JOIN eventmill.lane ON lane.lane = unit.lane
    JOIN unnest($1::smallint[], $2::bigint[]) AS gone (shard, seq) ON gone.shard = lane.shard
    WHERE unit.first_seq <= gone.seq
) ORDER BY lane FOR UPDATE;

-- name: end_units
DELETE FROM eventmill.unit USING eventmill.lane, unnest($1::smallint[], $2::bigint[]) AS gone (shard, seq)
WHERE lane.lane = unit.lane AND lane.shard = gone.shard AND unit.first_seq <= gone.seq
RETURNING unit.lane, unit.positions, unit.cause, unit.replay, lane.shard, lane.registration_id;

-- Whoever appends queues behind the locks that a drop waits for, and those wait for whoever reads.
-- name: wait_at_most
SELECT set_config('lock_timeout', $1, true);

-- name: retire_day
SELECT eventmill.retire_day_1($1, $2, $3);

-- Shards of which days are gone that they have not passed, and how far.
-- name: fallen_shards
SELECT shard.id, gone.seq FROM eventmill.shard CROSS JOIN LATERAL (
    SELECT coalesce(min(first_seq) - 1, head) AS seq FROM eventmill.shard_day WHERE shard_day.shard = shard.id
) AS gone
WHERE gone.seq > dropped ORDER BY shard.id;

-- name: forget_audited
DELETE FROM eventmill.phi_event USING unnest($1::smallint[], $2::bigint[]) AS gone (shard, seq)
WHERE phi_event.shard = gone.shard AND phi_event.seq <= gone.seq;

-- name: pass_shards
WITH passed AS MATERIALIZED (
    SELECT id, gone.seq FROM eventmill.shard JOIN unnest($1::smallint[], $2::bigint[]) AS gone (shard, seq) ON shard = id
    ORDER BY id FOR UPDATE OF shard
)
UPDATE eventmill.shard SET dropped = greatest(dropped, passed.seq) FROM passed WHERE shard.id = passed.id;

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

-- Queries on delivery's work: slots, lanes, units, and what is kept for looking back. Arrays of positions come as text
-- where there are many of them: an array of arrays would be a matrix.

-- name: hold_slots
SELECT slot, epoch FROM eventmill.slot WHERE slot = ANY ($1::smallint[]) AND owner = $2 ORDER BY slot FOR SHARE;

-- name: lock_lanes
SELECT lane, shard, registration_id, mark, done, split_ms, traces_ok, traces_failed, disabled, gapped,
    tombstone IS NOT NULL AS closed, (SELECT EXISTS (SELECT FROM eventmill.phi_event)) AS audited
FROM eventmill.lane WHERE lane = ANY ($1::bigint[]) ORDER BY lane FOR UPDATE;

-- name: put_progress
UPDATE eventmill.lane
SET mark = new.mark, done = new.done::bigint[], traces_ok = new.traces_ok, traces_failed = new.traces_failed
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
    AS new (lane, mark, done, traces_ok, traces_failed)
WHERE lane.lane = new.lane;

-- IS FALSE, not = false: only that is found in the index, where a lane may have a million units.
-- name: lane_records
SELECT lane, org, shard, registration_id, mark, done, disabled, tombstone,
    (SELECT min(due_ms) FROM eventmill.unit WHERE unit.lane = lane.lane AND (replay <> '') IS FALSE) AS next_due_ms,
    (SELECT min(due_ms) FROM eventmill.unit WHERE unit.lane = lane.lane AND (replay <> '') = true) AS next_replay_ms,
    EXISTS (SELECT FROM eventmill.posting WHERE posting.lane = lane.lane AND last_seq > mark) AS behind
FROM eventmill.lane WHERE slot = ANY ($1::smallint[]) ORDER BY lane;

-- name: lane_record
SELECT lane, org, shard, registration_id, mark, done, disabled, tombstone,
    (SELECT min(due_ms) FROM eventmill.unit WHERE unit.lane = lane.lane AND (replay <> '') IS FALSE) AS next_due_ms,
    (SELECT min(due_ms) FROM eventmill.unit WHERE unit.lane = lane.lane AND (replay <> '') = true) AS next_replay_ms,
    EXISTS (SELECT FROM eventmill.posting WHERE posting.lane = lane.lane AND last_seq > mark) AS behind
FROM eventmill.lane WHERE lane = $1;

-- name: floor
SELECT floor FROM eventmill.lane WHERE lane = $1;

-- name: gaps
SELECT id, from_seq, to_seq, cause, opened_ms, closed_ms, settled FROM eventmill.gap
WHERE lane = $1 ORDER BY from_seq, id;

-- name: gaps_of
SELECT lane, id, from_seq, to_seq, cause, opened_ms, closed_ms, settled FROM eventmill.gap
WHERE lane = ANY ($1::bigint[]) ORDER BY lane, from_seq, id;

-- name: cut_gap
UPDATE eventmill.gap SET from_seq = $2, to_seq = $3, settled = $4 WHERE id = $1;

-- name: insert_gap_part
INSERT INTO eventmill.gap (lane, from_seq, to_seq, cause, opened_ms, closed_ms, settled)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: drop_gap
DELETE FROM eventmill.gap WHERE id = $1;

-- name: set_gap_settled
UPDATE eventmill.gap SET settled = $2 WHERE id = $1;

-- name: put_units
INSERT INTO eventmill.unit
    (unit_id, lane, first_seq, span, first_ms, due_ms, size, retries, cause, batch, replay, positions)
SELECT unit_id, lane, first_seq, span, first_ms, due_ms, size, retries, cause, batch, replay, positions::bigint[]
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[],
    $8::integer[], $9::integer[], $10::boolean[], $11::bytea[], $12::text[])
    AS new (unit_id, lane, first_seq, span, first_ms, due_ms, size, retries, cause, batch, replay, positions)
ON CONFLICT (unit_id) DO UPDATE
SET first_ms = excluded.first_ms, retries = excluded.retries, due_ms = excluded.due_ms, cause = excluded.cause;

-- name: hasten_unit
UPDATE eventmill.unit SET due_ms = least(due_ms, $3) WHERE lane = $1 AND unit_id = $2 RETURNING true;

-- name: end_units
DELETE FROM eventmill.unit WHERE unit_id = ANY ($1::bytea[]);

-- name: has_units
SELECT EXISTS (SELECT FROM eventmill.unit WHERE lane = $1);

-- name: due_units
SELECT unit_id, lane, positions, batch, first_ms, retries, due_ms, cause, replay FROM eventmill.unit
WHERE lane = $1 AND (replay <> '') = $2 AND due_ms <= $3 ORDER BY due_ms, first_seq LIMIT $4;

-- Those that hold one position are found by it. Those of batches reach on from their first one, so that all are looked
-- at which begin no further below than the longest of the lane is long.
-- name: units_at
SELECT unit_id, lane, positions, batch, first_ms, retries, due_ms, cause, replay FROM eventmill.unit
WHERE lane = $1 AND first_seq = ANY ($2::bigint[])
UNION ALL
SELECT unit_id, lane, positions, batch, first_ms, retries, due_ms, cause, replay FROM eventmill.unit
WHERE lane = $1 AND span > 0 AND positions && $2::bigint[] AND first_seq <> ALL ($2::bigint[])
    AND first_seq BETWEEN $3 - (SELECT max(span) FROM eventmill.unit WHERE lane = $1 AND span > 0) AND $4;

-- name: next_due
SELECT min(due_ms) FROM (
    SELECT min(due_ms) AS due_ms FROM eventmill.unit WHERE lane = $1 AND (replay <> '') IS FALSE
    UNION ALL
    SELECT min(due_ms) FROM eventmill.unit WHERE lane = $1 AND (replay <> '') = true
) AS earliest;

-- name: waiting_units
SELECT unit.lane, registration_id, count(*) AS units, min(first_ms) AS first_ms
FROM eventmill.unit JOIN eventmill.lane ON lane.lane = unit.lane GROUP BY unit.lane, registration_id;

-- name: first_unit
SELECT min(first_ms) FROM eventmill.unit WHERE lane = $1;

-- The first posting above the mark, of each lane that pushes.
-- name: waiting_lanes
SELECT lane.lane, registration_id, shard, mark, done, next.day, next.first_seq, next.last_seq, next.rest
FROM eventmill.lane CROSS JOIN LATERAL (
    SELECT day, first_seq, last_seq, rest FROM eventmill.posting
    WHERE posting.lane = lane.lane AND last_seq > mark ORDER BY last_seq LIMIT 1
) AS next
WHERE NOT disabled AND tombstone IS NULL;

-- name: waiting_lane
SELECT lane.lane, registration_id, shard, mark, done, next.day, next.first_seq, next.last_seq, next.rest
FROM eventmill.lane CROSS JOIN LATERAL (
    SELECT day, first_seq, last_seq, rest FROM eventmill.posting
    WHERE posting.lane = lane.lane AND last_seq > mark ORDER BY last_seq LIMIT 1
) AS next
WHERE NOT disabled AND tombstone IS NULL AND lane.lane = $1;

-- In one statement: a unit that ends between two would count in both.
-- name: replay_tally
SELECT coalesce((SELECT handed FROM eventmill.replay_tally WHERE replay = $1), 0) AS handed,
    coalesce(sum(size) FILTER (WHERE retries = 0), 0)::bigint AS waiting,
    coalesce(sum(size) FILTER (WHERE retries > 0), 0)::bigint AS retrying,
    coalesce((SELECT failed FROM eventmill.replay_tally WHERE replay = $1), 0) AS failed
FROM eventmill.unit WHERE replay = $1 AND replay <> '';

-- name: hand_out
INSERT INTO eventmill.replay_tally AS known (replay, lane, handed, failed, at_ms) VALUES ($1, $2, $3, 0, $4)
ON CONFLICT (replay) DO UPDATE SET handed = known.handed + excluded.handed, at_ms = excluded.at_ms;

-- name: fail_of_replays
UPDATE eventmill.replay_tally SET failed = failed + new.count, at_ms = new.at_ms
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS new (replay, count, at_ms)
WHERE replay_tally.replay = new.replay;

-- name: insert_ended
INSERT INTO eventmill.ended (lane, first_seq, span, at_ms, size, cause, outcome, replay, positions)
SELECT lane, first_seq, span, at_ms, size, cause, outcome, replay, positions::bigint[]
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[], $7::text[],
    $8::bytea[], $9::text[])
    WITH ORDINALITY AS new (lane, first_seq, span, at_ms, size, cause, outcome, replay, positions, place)
ORDER BY place;

-- name: ended
SELECT positions, outcome, cause, at_ms, replay FROM eventmill.ended WHERE lane = $1 ORDER BY id DESC LIMIT $2;

-- name: longest_ended
SELECT max(span) FROM eventmill.ended WHERE lane = $1 AND span > 0;

-- name: ended_from
SELECT first_seq, id, positions, outcome, cause, at_ms, replay FROM eventmill.ended
WHERE lane = $1 AND (first_seq, id) > ($2, $3) AND first_seq + span > $4 ORDER BY first_seq, id LIMIT $5;

-- name: ended_at
SELECT id, positions FROM eventmill.ended WHERE lane = $1 AND first_seq = ANY ($2::bigint[])
UNION ALL
SELECT id, positions FROM eventmill.ended
WHERE lane = $1 AND span > 0 AND positions && $2::bigint[] AND first_seq <> ALL ($2::bigint[])
    AND first_seq BETWEEN $3 - (SELECT max(span) FROM eventmill.ended WHERE lane = $1 AND span > 0) AND $4;

-- name: count_ended
SELECT outcome, sum(size)::bigint AS positions FROM eventmill.ended
WHERE lane = $1 AND first_seq > $2 AND first_seq <= $3 AND first_seq + span <= $3 GROUP BY outcome;

-- name: ended_across
SELECT id, positions, outcome FROM eventmill.ended
WHERE lane = $1 AND first_seq > $2 AND first_seq <= $3 AND span > 0 AND first_seq + span > $3;

-- name: take_ended
UPDATE eventmill.ended SET positions = $2, first_seq = $3, span = $4, size = $5 WHERE id = $1;

-- name: end_view
DELETE FROM eventmill.ended WHERE id = $1;

-- name: insert_attempts
INSERT INTO eventmill.attempt (day, lane, block)
SELECT day, lane, block FROM unnest($1::integer[], $2::bigint[], $3::bytea[])
    WITH ORDINALITY AS new (day, lane, block, place)
ORDER BY place;

-- name: put_traces
INSERT INTO eventmill.trace (lane, n, ts_ms, slot, ok, positions, detail)
SELECT lane, n, ts_ms, slot, ok, positions::bigint[], detail
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::integer[], $5::boolean[], $6::text[], $7::bytea[])
    AS new (lane, n, ts_ms, slot, ok, positions, detail)
ON CONFLICT (lane, ok, slot) DO UPDATE
SET n = excluded.n, ts_ms = excluded.ts_ms, positions = excluded.positions, detail = excluded.detail;

-- name: traces
SELECT ok, ts_ms, positions, detail FROM eventmill.trace WHERE lane = $1 AND slot < $2 ORDER BY n DESC;

-- name: add_tallies
INSERT INTO eventmill.tally AS known (lane, bucket_ms, ok, failed, gave_up)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
ON CONFLICT (lane, bucket_ms) DO UPDATE
SET ok = known.ok + excluded.ok, failed = known.failed + excluded.failed, gave_up = known.gave_up + excluded.gave_up;

-- name: tally_since
SELECT coalesce(sum(ok), 0)::bigint AS ok, coalesce(sum(failed), 0)::bigint AS failed
FROM eventmill.tally WHERE lane = $1 AND bucket_ms >= $2;

-- name: health_tallies
SELECT bucket_ms, ok, failed, gave_up FROM eventmill.tally
WHERE lane = $1 AND bucket_ms >= greatest($2, (SELECT counted_ms FROM eventmill.lane WHERE lane = $1))
ORDER BY bucket_ms;

-- name: lanes_with_failures
SELECT DISTINCT lane FROM eventmill.tally WHERE bucket_ms >= $1 AND (failed > 0 OR gave_up > 0);

-- name: drop_old_traces
DELETE FROM eventmill.trace WHERE ts_ms < $1;

-- name: insert_unmatched
INSERT INTO eventmill.unmatched (org, event_id, published_id, at_ms, detail)
SELECT org, event_id, published_id, at_ms, detail
FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bytea[])
    WITH ORDINALITY AS new (org, event_id, published_id, at_ms, detail, place)
ORDER BY place;

-- name: trim_unmatched
DELETE FROM eventmill.unmatched
WHERE org = $1 AND id <= (SELECT id FROM eventmill.unmatched WHERE org = $1 ORDER BY id DESC LIMIT 1 OFFSET $2);

-- name: add_unmatched_tally
INSERT INTO eventmill.unmatched_tally AS known (org, bucket_ms, events) VALUES ($1, $2, $3)
ON CONFLICT (org, bucket_ms) DO UPDATE SET events = known.events + excluded.events;

-- name: unmatched
SELECT detail FROM eventmill.unmatched WHERE org = $1 AND at_ms >= $2 ORDER BY id DESC LIMIT $3;

-- name: find_unmatched
SELECT detail FROM eventmill.unmatched
WHERE org = $1 AND at_ms >= $2 AND (event_id = $3 OR published_id = $4) ORDER BY id DESC LIMIT 1;

-- name: count_unmatched
SELECT coalesce(sum(events), 0)::bigint FROM eventmill.unmatched_tally WHERE org = $1 AND bucket_ms >= $2;

-- name: drop_old_unmatched
DELETE FROM eventmill.unmatched WHERE at_ms < $1;

-- name: drop_spare_unmatched
DELETE FROM eventmill.unmatched
WHERE id <= (SELECT id FROM eventmill.unmatched ORDER BY id DESC LIMIT 1 OFFSET $1);

-- name: drop_old_unmatched_tallies
DELETE FROM eventmill.unmatched_tally WHERE bucket_ms < $1;

-- Audit

-- name: audited_events
SELECT phi_event.shard, phi_event.seq, org, event_id, id, provider_id, event_code, client_id
FROM unnest($1::smallint[], $2::bigint[]) AS asked (shard, seq)
JOIN eventmill.phi_event ON phi_event.shard = asked.shard AND phi_event.seq = asked.seq;

-- name: insert_records
INSERT INTO eventmill.phi_audit
    (org, at_ms, event_id, id, provider_id, event_code, client_id, registration_id, outcome, status)
SELECT org, at_ms, event_id, id, provider_id, event_code, client_id, registration_id, outcome, status
FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::text[],
    $9::text[], $10::integer[]) WITH ORDINALITY
    AS new (org, at_ms, event_id, id, provider_id, event_code, client_id, registration_id, outcome, status, place)
ORDER BY place;

-- By number or by time, whichever is narrower: that shows in the values only.
-- name: phi_audit
SELECT number, at_ms, id, event_id, provider_id, event_code, client_id, registration_id, outcome, status
FROM eventmill.phi_audit WHERE org = $1 AND number > $2 AND at_ms >= $3 AND at_ms < $4
    AND (written IS NULL OR written < pg_snapshot_xmin(pg_current_snapshot()))
ORDER BY number LIMIT $5;

-- name: drop_phi_audit
DELETE FROM eventmill.phi_audit WHERE at_ms < $1;

-- Leases. Only the database's clock counts, read when the statement runs: the transaction may have waited for a lock.

-- Those that were free for longest first: where nodes die all the time, none is left waiting for ever. What the node
-- answered in development mode does not hold for them.
-- name: claim
WITH claimed AS (
    UPDATE eventmill.slot SET epoch = epoch + 1, owner = $1, till = clock_timestamp() + $2 * interval '1 second'
    WHERE slot IN (
        SELECT slot FROM eventmill.slot WHERE owner IS NULL OR till < clock_timestamp()
        ORDER BY till NULLS FIRST, slot LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    RETURNING slot, epoch
), unsaid AS (
    UPDATE eventmill.node SET settled = settled - 1 WHERE id = $1 AND EXISTS (SELECT FROM claimed)
)
SELECT slot, epoch FROM claimed;

-- name: renew
WITH mine AS (SELECT slot FROM eventmill.slot WHERE owner = $1 ORDER BY slot FOR UPDATE)
UPDATE eventmill.slot SET till = clock_timestamp() + $2 * interval '1 second'
FROM mine WHERE slot.slot = mine.slot
RETURNING slot.slot, epoch;

-- name: release
UPDATE eventmill.slot SET owner = NULL, till = NULL WHERE owner = $1 AND slot = ANY ($2::smallint[]);

-- name: idle_tombstones
SELECT lane FROM eventmill.lane
WHERE slot = ANY ($1::smallint[]) AND tombstone IS NOT NULL
    AND NOT EXISTS (SELECT FROM eventmill.unit WHERE unit.lane = lane.lane)
ORDER BY lane FOR UPDATE;

-- name: join
INSERT INTO eventmill.node AS known (id, till) VALUES ($1, clock_timestamp() + $2 * interval '1 second')
ON CONFLICT (id) DO UPDATE SET till = excluded.till;

-- name: leave
DELETE FROM eventmill.node WHERE id = $1 OR greatest(seen, till) < clock_timestamp() - interval '1 hour';

-- name: tell_freed
SELECT pg_notify('eventmill_slots', '');

-- name: nodes
SELECT count(*) FROM eventmill.node WHERE till >= clock_timestamp();

-- Queries on the state file.

-- name: get_meta
SELECT value FROM meta WHERE name = ?;

-- name: set_meta
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: next_number
INSERT INTO counter (name, value) VALUES (?, 1001) ON CONFLICT (name) DO UPDATE SET value = value + 1;

-- name: last_number
SELECT value FROM counter WHERE name = ?;

-- name: get_doc
SELECT version, doc FROM doc WHERE kind = ? AND org = ? AND id = ?;

-- name: list_docs
SELECT id, version, doc FROM doc WHERE kind = ? AND org = ? ORDER BY created;

-- name: list_docs_by_key
SELECT doc.id, doc.version, doc.doc
FROM doc_key CROSS JOIN doc ON doc.kind = doc_key.kind AND doc.org = doc_key.org AND doc.id = doc_key.id
WHERE doc_key.kind = ? AND doc_key.name = ? AND doc_key.value = ? AND doc_key.org = ?
ORDER BY doc.created;

-- name: scan_docs_by_key
SELECT doc.org, doc.id, doc.version, doc.doc
FROM doc_key CROSS JOIN doc ON doc.kind = doc_key.kind AND doc.org = doc_key.org AND doc.id = doc_key.id
WHERE doc_key.kind = ? AND doc_key.name = ? AND doc_key.value = ?
ORDER BY doc.created;

-- name: scan_docs
SELECT org, id, version, doc FROM doc WHERE kind = ? ORDER BY created;

-- name: scan_page
SELECT org, id, version, doc FROM doc WHERE kind = ? AND (org, id) > (?, ?) ORDER BY org, id LIMIT ?;

-- name: insert_doc
INSERT INTO doc (kind, org, id, version, doc, created) VALUES (?, ?, ?, 1, ?, ?);

-- name: update_doc
UPDATE doc SET version = version + 1, doc = ? WHERE kind = ? AND org = ? AND id = ?;

-- name: delete_doc
DELETE FROM doc WHERE kind = ? AND org = ? AND id = ?;

-- name: insert_key
INSERT OR IGNORE INTO doc_key (kind, name, value, org, id) VALUES (?, ?, ?, ?, ?);

-- name: delete_keys
DELETE FROM doc_key WHERE kind = ? AND org = ? AND id = ?;

-- name: key_holders
SELECT org, id FROM doc_key
WHERE kind = ?1 AND name = ?2 AND value = ?3 AND (?4 IS NULL OR org = ?4) AND NOT (org = ?5 AND id = ?6)
LIMIT ?7;

-- name: insert_change
INSERT INTO change (epoch, org, kind, id) VALUES (?, ?, ?, ?);

-- name: last_change
SELECT max(epoch) FROM change;

-- name: routing_epochs
SELECT org, max(epoch) FROM change GROUP BY org;

-- name: changes
SELECT epoch, org, kind, id FROM change WHERE epoch > ? ORDER BY epoch LIMIT ?;

-- name: first_change
SELECT min(epoch) FROM change;

-- name: trim_changes
DELETE FROM change WHERE epoch <= ?;

-- name: insert_lane
INSERT INTO lane (lane, org, registration_id, opened, floor, disabled, tombstone) VALUES (?, ?, ?, ?, 0, 0, NULL);

-- name: set_lane_state
UPDATE lane SET disabled = ?, tombstone = ? WHERE lane = ?;

-- name: set_lane_tallies
UPDATE lane SET counted_ms = ?, split_ms = ? WHERE lane = ?;

-- name: set_lane_floor
UPDATE lane SET floor = ? WHERE lane = ?;

-- name: all_lanes
SELECT lane.lane, org, registration_id, opened, floor, disabled, tombstone, mark, done, counted_ms, split_ms
FROM lane JOIN progress ON progress.lane = lane.lane
ORDER BY lane.lane;

-- name: lane_records
SELECT lane.lane, org, registration_id, mark, done, disabled, tombstone,
    (SELECT min(due_ms) FROM unit WHERE unit.lane = lane.lane AND (replay <> x'') = 0),
    (SELECT min(due_ms) FROM unit WHERE unit.lane = lane.lane AND (replay <> x'') = 1)
FROM lane JOIN progress ON progress.lane = lane.lane
WHERE lane.lane % ? IN (SELECT value FROM json_each(?))
ORDER BY lane.lane;

-- name: lane_record
SELECT lane.lane, org, registration_id, mark, done, disabled, tombstone,
    (SELECT min(due_ms) FROM unit WHERE unit.lane = lane.lane AND (replay <> x'') = 0),
    (SELECT min(due_ms) FROM unit WHERE unit.lane = lane.lane AND (replay <> x'') = 1)
FROM lane JOIN progress ON progress.lane = lane.lane
WHERE lane.lane = ?;

-- name: put_progress
INSERT INTO progress (lane, mark, done)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
ON CONFLICT (lane) DO UPDATE SET mark = excluded.mark, done = excluded.done;

-- name: idle_tombstones
SELECT lane FROM lane
WHERE tombstone IS NOT NULL AND NOT EXISTS (SELECT 1 FROM unit WHERE unit.lane = lane.lane);

-- name: insert_gap
INSERT INTO gap (lane, from_seq, to_seq, cause, opened_ms, closed_ms, settled) VALUES (?, ?, NULL, ?, ?, NULL, ?);

-- name: open_gap
SELECT id, from_seq, cause FROM gap WHERE lane = ? AND to_seq IS NULL;

-- name: close_gap
UPDATE gap SET to_seq = ?, closed_ms = ? WHERE id = ?;

-- name: set_gap_settled
UPDATE gap SET settled = ? WHERE id = ?;

-- name: gaps
SELECT id, from_seq, to_seq, cause, opened_ms, closed_ms, settled FROM gap WHERE lane = ? ORDER BY from_seq, id;

-- name: cut_gap
UPDATE gap SET from_seq = ?, to_seq = ?, settled = ? WHERE id = ?;

-- name: insert_gap_part
INSERT INTO gap (lane, from_seq, to_seq, cause, opened_ms, closed_ms, settled) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: drop_gap
DELETE FROM gap WHERE id = ?;

-- name: gapped_lanes
SELECT DISTINCT lane FROM gap;

-- name: drop_old_gaps
DELETE FROM gap WHERE closed_ms < ? AND to_seq <= ?;

-- name: put_units
INSERT INTO unit (unit_id, lane, positions, first_seq, batch, first_ms, retries, due_ms, cause, replay, span, size)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
ON CONFLICT (unit_id) DO UPDATE
SET first_ms = excluded.first_ms, retries = excluded.retries, due_ms = excluded.due_ms, cause = excluded.cause;

-- name: hasten_unit
UPDATE unit SET due_ms = min(due_ms, ?) WHERE unit_id = ? AND lane = ?;

-- name: end_units
DELETE FROM unit WHERE unit_id IN ({values});

-- name: has_units
SELECT EXISTS (SELECT 1 FROM unit WHERE lane = ?);

-- name: due_units
SELECT unit_id, positions, batch, first_ms, retries, due_ms, cause, replay
FROM unit WHERE lane = ? AND (replay <> x'') = ? AND due_ms <= ? ORDER BY due_ms, first_seq LIMIT ?;

-- name: next_due
SELECT min(due_ms) FROM (
    SELECT min(due_ms) AS due_ms FROM unit WHERE lane = ?1 AND (replay <> x'') = 0
    UNION ALL
    SELECT min(due_ms) FROM unit WHERE lane = ?1 AND (replay <> x'') = 1
);

-- name: waiting_units
SELECT unit.lane, lane.registration_id, count(*), min(unit.first_ms)
FROM unit JOIN lane ON lane.lane = unit.lane GROUP BY unit.lane;

-- name: first_unit
SELECT min(first_ms) FROM unit WHERE lane = ?;

-- name: units_from
SELECT unit_id, lane.lane, positions, cause, replay
FROM lane CROSS JOIN unit ON unit.lane = lane.lane AND unit.first_seq <= ?;

-- name: units_at
SELECT unit_id, positions, batch, first_ms, retries, due_ms, cause, replay
FROM unit INDEXED BY unit_at WHERE lane = ? AND first_seq IN ({values});

-- name: units_spanning
SELECT unit_id, positions, batch, first_ms, retries, due_ms, cause, replay
FROM unit INDEXED BY unit_spanned WHERE lane = ? AND first_seq BETWEEN ? AND ? AND span > 0;

-- name: longest_unit
SELECT max(span) FROM unit INDEXED BY unit_longest WHERE lane = ? AND span > 0;

-- In one statement: a unit that ends between two would count in both.
-- name: replay_tally
SELECT coalesce((SELECT handed FROM replay_tally WHERE replay = ?1), 0),
    coalesce(sum(CASE retries WHEN 0 THEN size END), 0), coalesce(sum(CASE retries WHEN 0 THEN 0 ELSE size END), 0),
    coalesce((SELECT failed FROM replay_tally WHERE replay = ?1), 0)
FROM unit WHERE replay = ?1 AND replay <> x'';

-- name: hand_out
INSERT INTO replay_tally (replay, lane, handed, failed, at_ms) VALUES (?, ?, ?, 0, ?)
ON CONFLICT (replay) DO UPDATE SET handed = handed + excluded.handed, at_ms = excluded.at_ms;

-- name: fail_of_replay
UPDATE replay_tally SET failed = failed + ?, at_ms = ? WHERE replay = ?;

-- name: drop_old_replay_tallies
-- A day later than all else: replays are listed as long as events are kept, with their tallies.
DELETE FROM replay_tally WHERE at_ms < ? - 86400000;

-- name: insert_ended
INSERT INTO ended (lane, positions, outcome, cause, at_ms, replay, first_seq, span, size)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: ended
SELECT positions, outcome, cause, at_ms, replay FROM ended WHERE lane = ? ORDER BY id DESC LIMIT ?;

-- name: ended_from
SELECT first_seq, positions, outcome, cause, at_ms, replay
FROM ended INDEXED BY ended_at WHERE lane = ? AND first_seq > ? AND first_seq + span > ? ORDER BY first_seq;

-- name: ended_at
SELECT id, positions FROM ended INDEXED BY ended_at WHERE lane = ? AND first_seq IN ({values});

-- name: ended_spanning
SELECT id, positions FROM ended INDEXED BY ended_spanned
WHERE lane = ? AND first_seq BETWEEN ? AND ? AND span > 0;

-- name: longest_ended
SELECT max(span) FROM ended INDEXED BY ended_longest WHERE lane = ? AND span > 0;

-- name: count_ended
SELECT
    sum(CASE outcome WHEN 'refused' THEN size ELSE 0 END),
    sum(CASE outcome WHEN 'gave_up' THEN size ELSE 0 END),
    sum(CASE outcome WHEN 'expired' THEN size ELSE 0 END)
FROM ended INDEXED BY ended_at WHERE lane = ? AND first_seq > ? AND first_seq <= ? AND first_seq + span <= ?;

-- name: ended_across
SELECT id, positions, outcome FROM ended INDEXED BY ended_spanned
WHERE lane = ?1 AND first_seq > ?2 AND first_seq <= ?3 AND span > 0 AND first_seq + span > ?3;

-- name: take_ended
UPDATE ended SET positions = ?, first_seq = ?, span = ?, size = ? WHERE id = ?;

-- name: end_view
DELETE FROM ended WHERE id = ?;

-- name: drop_old_ended
DELETE FROM ended WHERE at_ms < ?;

-- name: put_traces
INSERT OR REPLACE INTO trace (lane, ok, slot, n, ts_ms, positions, detail)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: traces
SELECT ok, ts_ms, positions, detail FROM trace WHERE lane = ? ORDER BY n DESC;

-- name: last_trace
SELECT n, slot FROM trace WHERE lane = ? AND ok = ? ORDER BY n DESC LIMIT 1;

-- name: drop_spare_traces
DELETE FROM trace WHERE slot >= ?;

-- name: add_tallies
INSERT INTO tally (lane, bucket_ms, ok, failed, gave_up)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
ON CONFLICT (lane, bucket_ms) DO UPDATE
SET ok = ok + excluded.ok, failed = failed + excluded.failed, gave_up = gave_up + excluded.gave_up;

-- name: tally_since
SELECT coalesce(sum(ok), 0), coalesce(sum(failed), 0) FROM tally WHERE lane = ? AND bucket_ms >= ?;

-- name: health_tallies
SELECT bucket_ms, ok, failed, gave_up FROM tally
WHERE lane = ?1 AND bucket_ms >= max(?2, (SELECT counted_ms FROM lane WHERE lane = ?1))
ORDER BY bucket_ms;

-- name: lanes_with_failures
SELECT DISTINCT lane FROM tally WHERE bucket_ms >= ? AND (failed > 0 OR gave_up > 0);

-- name: drop_old_tallies
DELETE FROM tally WHERE bucket_ms < ?;

-- name: forget_lane
DELETE FROM lane WHERE lane = ?;

-- name: forget_progress
DELETE FROM progress WHERE lane = ?;

-- name: forget_gaps
DELETE FROM gap WHERE lane = ?;

-- name: forget_units
DELETE FROM unit WHERE lane = ?;

-- name: forget_ended
DELETE FROM ended WHERE lane = ?;

-- name: forget_traces
DELETE FROM trace WHERE lane = ?;

-- name: forget_tallies
DELETE FROM tally WHERE lane = ?;

-- name: docs_of_kind
SELECT org, id FROM doc WHERE kind = ? ORDER BY created;

-- name: forget_replay_tallies
DELETE FROM replay_tally WHERE lane = ?;

-- name: empty_replay_tallies
DELETE FROM replay_tally;

-- name: empty_lanes
DELETE FROM lane;

-- name: empty_progress
DELETE FROM progress;

-- name: empty_gaps
DELETE FROM gap;

-- name: empty_units
DELETE FROM unit;

-- name: empty_ended
DELETE FROM ended;

-- name: empty_traces
DELETE FROM trace;

-- name: empty_tallies
DELETE FROM tally;

-- name: drop_old_traces
DELETE FROM trace WHERE ts_ms < ?;

-- name: insert_unmatched
INSERT INTO unmatched (org, event_id, published_id, at_ms, detail)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: trim_unmatched
DELETE FROM unmatched
WHERE org = ?1 AND id <= (SELECT id FROM unmatched WHERE org = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2);

-- name: add_unmatched_tally
INSERT INTO unmatched_tally (org, bucket_ms, events) VALUES (?, ?, ?)
ON CONFLICT (org, bucket_ms) DO UPDATE SET events = events + excluded.events;

-- name: unmatched
SELECT detail FROM unmatched WHERE org = ? AND at_ms >= ? ORDER BY id DESC LIMIT ?;

-- name: find_unmatched
SELECT detail FROM unmatched
WHERE org = ? AND at_ms >= ? AND (event_id = ? OR published_id = ?) ORDER BY id DESC LIMIT 1;

-- name: count_unmatched
SELECT coalesce(sum(events), 0) FROM unmatched_tally WHERE org = ? AND bucket_ms >= ?;

-- name: drop_old_unmatched
DELETE FROM unmatched WHERE at_ms < ?;

-- name: drop_spare_unmatched
DELETE FROM unmatched WHERE id <= (SELECT id FROM unmatched ORDER BY id DESC LIMIT 1 OFFSET ?);

-- name: drop_old_unmatched_tallies
DELETE FROM unmatched_tally WHERE bucket_ms < ?;

-- name: empty_unmatched
DELETE FROM unmatched;

-- name: empty_unmatched_tallies
DELETE FROM unmatched_tally;

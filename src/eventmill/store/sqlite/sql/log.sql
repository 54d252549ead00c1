-- Queries on one segment.

-- name: insert_events
INSERT INTO event (seq, ts_ms, event_id, origin, lanes, body)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: insert_postings
INSERT OR REPLACE INTO posting (lane, last_seq, chunk)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: insert_origins
INSERT INTO origin (id, org, origin)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: insert_attempts
INSERT INTO attempt (lane, block)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: put_org_bytes
INSERT OR REPLACE INTO org_bytes (org, bytes)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: set_snapshot
UPDATE snapshot SET seq = ?, tails = ?;

-- name: snapshot
SELECT seq, tails FROM snapshot;

-- name: org_bytes
SELECT org, bytes FROM org_bytes;

-- name: origin
SELECT origin FROM origin WHERE id = ?;

-- name: origins
SELECT id, org, origin FROM origin;

-- name: last_event
SELECT seq, ts_ms FROM event ORDER BY seq DESC LIMIT 1;

-- name: scan_after
SELECT event.seq, event.lanes, origin.org, length(event.body)
FROM event JOIN origin ON origin.id = event.origin
WHERE event.seq > ? ORDER BY event.seq;

-- name: last_posting
SELECT max(last_seq) FROM posting WHERE lane = ?;

-- name: last_postings
SELECT lane, max(last_seq) FROM posting GROUP BY lane;

-- name: chunks
SELECT last_seq, chunk FROM posting WHERE lane = ? AND last_seq > ? ORDER BY last_seq;

-- name: log
SELECT seq, lanes FROM event WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?;

-- name: events_between
SELECT seq, ts_ms, event_id, origin, body FROM event WHERE seq BETWEEN ? AND ? ORDER BY seq;

-- name: events_in
SELECT seq, ts_ms, event_id, origin, body FROM event WHERE seq IN ({values}) ORDER BY seq;

-- name: outlines_between
SELECT seq, ts_ms, event_id, origin, length(body) FROM event WHERE seq BETWEEN ? AND ? ORDER BY seq;

-- name: outlines_in
SELECT seq, ts_ms, event_id, origin, length(body) FROM event WHERE seq IN ({values}) ORDER BY seq;

-- name: bodies_between
SELECT seq, origin, body FROM event WHERE seq BETWEEN ? AND ? ORDER BY seq;

-- name: bodies_in
SELECT seq, origin, body FROM event WHERE seq IN ({values}) ORDER BY seq;

-- name: event_by_id
SELECT event.seq, event.ts_ms, event.event_id, event.origin, event.body
FROM event JOIN origin ON origin.id = event.origin
WHERE event.event_id = ? AND origin.org = ?;

-- name: time_at
SELECT seq, ts_ms FROM event WHERE seq >= ? ORDER BY seq LIMIT 1;

-- name: attempts
SELECT block FROM attempt WHERE lane = ? ORDER BY id DESC LIMIT ?;

-- name: attempts_with
SELECT id, CASE WHEN instr(block, ?3) THEN block END FROM attempt WHERE lane = ?1 AND id > ?2 ORDER BY id LIMIT ?4;

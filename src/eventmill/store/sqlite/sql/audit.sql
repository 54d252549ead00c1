-- Queries on the audit trail, in the state file.

-- name: put_events
INSERT OR REPLACE INTO phi_event (seq, org, event_id, id, provider_id, event_code, client_id)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: insert_records
INSERT INTO phi_audit
    (org, at_ms, event_id, id, provider_id, event_code, client_id, registration_id, outcome, status)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;

-- name: events_in
SELECT seq, org, event_id, id, provider_id, event_code, client_id FROM phi_event WHERE seq IN ({values});

-- name: newest_event
SELECT max(seq) FROM phi_event;

-- name: drop_events_above
DELETE FROM phi_event WHERE seq > ?;

-- name: drop_events_upto
DELETE FROM phi_event WHERE seq <= ?;

-- name: drop_records
DELETE FROM phi_audit WHERE at_ms < ?;

-- name: records
SELECT number, at_ms, id, event_id, provider_id, event_code, client_id, registration_id, outcome, status
FROM phi_audit WHERE org = ? AND number > ? AND at_ms >= ? AND at_ms < ? ORDER BY number LIMIT ?;

-- Queries on the state file about units that wait.

-- name: waiting_units
SELECT unit.lane, registration_id, count(*), min(first_ms)
FROM unit JOIN lane ON lane.lane = unit.lane GROUP BY unit.lane;

-- name: first_unit
SELECT min(first_ms) FROM unit WHERE lane = ?;

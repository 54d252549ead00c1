-- Queries of whoever reads a journal.

-- name: bounds
SELECT generation, head, last_ts_ms, coalesce((SELECT floor FROM eventmill.lane WHERE lane = $2), 0) AS floor
FROM eventmill.gateway, eventmill.shard WHERE id = $1;

-- name: page
SELECT at_day, seqs, origins, bodies, more, gone FROM eventmill.journal_page_1($1, $2, $3, $4);

-- Queries on what all nodes share beside the catalogue, the log and the lanes.

-- name: preside
UPDATE eventmill.presidency
SET term = term + (holder IS DISTINCT FROM $1)::integer, holder = $1,
    till = clock_timestamp() + $2 * interval '1 second'
WHERE holder = $1 OR till < clock_timestamp()
RETURNING term;

-- name: abdicate
UPDATE eventmill.presidency SET till = '-infinity' WHERE holder = $1;

-- Buckets that began lately, of lanes with failures in them, and of those that are watched.
-- name: tallies_since
SELECT lane, bucket_ms, ok + failed + gave_up AS counted FROM eventmill.tally
WHERE bucket_ms >= $1 AND (failed > 0 OR gave_up > 0)
UNION
SELECT lane, bucket_ms, ok + failed + gave_up FROM eventmill.tally
WHERE lane = ANY ($2::bigint[]) AND bucket_ms >= $1;

-- name: take_permits
SELECT granted, wait_ns FROM eventmill.take_permits_1($1, $2, $3, $4);

-- name: forget_permits
DELETE FROM eventmill.permit WHERE full_ns < (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint;

-- Development mode: what nodes ask of each other.

-- name: others
SELECT count(*) FROM eventmill.node WHERE till >= clock_timestamp() AND id <> $1;

-- name: ask
UPDATE eventmill.gateway SET settle = settle + 1 RETURNING settle;

-- name: asked
SELECT settle, (SELECT settled FROM eventmill.node WHERE id = $1) AS answered, generation, clock_offset_ms,
    clock_jumped_ms, clock_rate
FROM eventmill.gateway;

-- Only by a node that knows of all slots that are its own, and that got none since it looked.
-- name: answer
UPDATE eventmill.node SET settled = $2, due_ms = $3
WHERE id = $1 AND settled IS NOT DISTINCT FROM $4 AND (SELECT count(*) FROM eventmill.slot WHERE owner = $1) = $5;

-- What a slot's owner has answered stays true when the owner dies.
-- name: answers
SELECT
    (SELECT count(*) FROM eventmill.slot LEFT JOIN eventmill.node ON id = owner
        WHERE coalesce(settled < $2, true)) AS unsettled,
    (SELECT count(*) FROM eventmill.slot WHERE coalesce(till < clock_timestamp(), true)) AS free,
    (SELECT count(*) FROM eventmill.node WHERE till >= clock_timestamp() AND settled IS NULL AND id <> $1) AS silent,
    (SELECT min(due_ms) FROM eventmill.node WHERE settled >= $2 AND id <> $1) AS due_ms;

-- name: set_rate
UPDATE eventmill.gateway SET clock_rate = $1;

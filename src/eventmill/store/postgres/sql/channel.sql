-- Queries on a channel's own row.

-- name: make
INSERT INTO eventmill.channel (id, number, result) VALUES ($1, 0, '{}') ON CONFLICT (id) DO NOTHING;

-- name: lock
SELECT number, result FROM eventmill.channel WHERE id = $1 FOR UPDATE;

-- name: note
UPDATE eventmill.channel SET number = $2, result = $3, touched = now() WHERE id = $1;

-- name: forget
DELETE FROM eventmill.channel WHERE id = $1;

-- name: forget_old
DELETE FROM eventmill.channel WHERE touched < now() - interval '1 day';

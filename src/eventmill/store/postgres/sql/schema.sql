-- Queries of the start: the schema itself.

-- name: lock_migrations
SELECT pg_advisory_lock(hashtextextended('eventmill migrations', 0));

-- name: unlock_migrations
SELECT pg_advisory_unlock(hashtextextended('eventmill migrations', 0));

-- name: lock_start
SELECT pg_advisory_lock(hashtextextended('eventmill start', 0));

-- name: has_schema
SELECT to_regclass('eventmill.migration') IS NOT NULL;

-- name: make_schema
CREATE SCHEMA IF NOT EXISTS eventmill;
CREATE TABLE IF NOT EXISTS eventmill.migration (
    number   integer PRIMARY KEY,
    name     text NOT NULL,
    checksum text NOT NULL,
    applied  timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT number, checksum FROM eventmill.migration;

-- name: note_applied
INSERT INTO eventmill.migration (number, name, checksum) VALUES ($1, $2, $3);

-- Queries of the start: the schema itself, what is amiss with a database, and which nodes are at work on it.

-- Held to the end of the transaction, so that a pooler may be in between.
-- name: lock_migrations
SELECT pg_advisory_xact_lock(hashtextextended('eventmill migrations', 0));

-- name: share_migrations
SELECT pg_advisory_xact_lock_shared(hashtextextended('eventmill migrations', 0));

-- name: wait_at_most
SELECT set_config('lock_timeout', $1, false);

-- name: lock_start
SELECT pg_advisory_lock(hashtextextended('eventmill start', 0));

-- name: has_schema
SELECT to_regclass('eventmill.migration') IS NOT NULL;

-- A table of the name `migration` that is not ours has other columns.
-- name: present
SELECT namespace.oid IS NOT NULL AS has_schema,
    has_schema_privilege(namespace.oid, 'USAGE') AS usable, current_user AS role, current_database() AS database,
    pg_get_userbyid(nspowner) AS owner,
    (SELECT min(relname) FROM pg_class WHERE relnamespace = namespace.oid) AS any_table,
    (
        SELECT array_agg(attname::text) FROM pg_attribute
        WHERE attrelid = (SELECT oid FROM pg_class WHERE relnamespace = namespace.oid AND relname = 'migration')
            AND attnum > 0 AND NOT attisdropped
    ) AS columns
FROM (SELECT) AS one LEFT JOIN pg_namespace AS namespace ON nspname = 'eventmill';

-- Not IF NOT EXISTS: that asks for the right to make one where somebody has made it for the role.
-- name: make_schema
CREATE SCHEMA eventmill;

-- name: make_record
CREATE TABLE eventmill.migration (
    number   integer PRIMARY KEY,
    name     text NOT NULL,
    checksum text NOT NULL,
    -- Programs that do not know the step may work on.
    additive boolean NOT NULL DEFAULT false,
    applied  timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT number, name, checksum, additive FROM eventmill.migration ORDER BY number;

-- name: note_applied
INSERT INTO eventmill.migration (number, name, checksum, additive) VALUES ($1, $2, $3, $4);

-- Whoever waits for a lock on a table keeps out everybody who comes later.
-- name: hurry
SELECT set_config('lock_timeout', '2s', true), set_config('statement_timeout', '0', true);

-- name: server
SELECT current_setting('server_encoding') AS encoding;

-- name: read_only
SELECT current_setting('transaction_read_only') = 'on';

-- name: server_ms
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- name: missing_table
SELECT min(name) FROM unnest($1::text[]) AS name WHERE to_regclass('eventmill.' || name) IS NULL;

-- What the role may not do with our tables. Days come and go as tables, which only owners may make and drop.
-- name: missing_rights
SELECT relname, pg_get_userbyid(relowner) AS owner,
    array_remove(ARRAY[
        CASE WHEN NOT has_table_privilege(pg_class.oid, 'SELECT') THEN 'SELECT' END,
        CASE WHEN NOT has_table_privilege(pg_class.oid, 'INSERT') THEN 'INSERT' END,
        CASE WHEN NOT has_table_privilege(pg_class.oid, 'UPDATE') THEN 'UPDATE' END,
        CASE WHEN NOT has_table_privilege(pg_class.oid, 'DELETE') THEN 'DELETE' END
    ], NULL) AS rights
FROM pg_class
WHERE relnamespace = 'eventmill'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND NOT (
        pg_has_role(relowner, 'USAGE')
        AND has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT')
        AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE')
    )
ORDER BY relname LIMIT 1;

-- name: dev_or_not
SELECT dev FROM eventmill.gateway;

-- name: set_dev_or_not
UPDATE eventmill.gateway SET dev = $1 WHERE dev IS NULL;

-- Nodes

-- name: note_node
INSERT INTO eventmill.node (id, seen, version, schema) VALUES ($1, clock_timestamp(), $2, $3)
ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, version = excluded.version, schema = excluded.schema
RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- A node that holds slots keeps its row alive by that too. One that was stopped takes its row along.
-- name: live_nodes
SELECT id::text, version, schema,
    greatest(0, extract(epoch FROM clock_timestamp() - greatest(seen, least(till, clock_timestamp()))))::integer AS seen_s
FROM eventmill.node
WHERE greatest(seen, till) > clock_timestamp() - $1 * interval '1 second'
UNION ALL
SELECT DISTINCT owner::text, '', 1, 0 FROM eventmill.slot
WHERE owner IS NOT NULL AND till > clock_timestamp() AND owner NOT IN (SELECT id FROM eventmill.node)
ORDER BY 3, 1;

-- name: has_versions
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('eventmill.node') AND attname = 'schema' AND NOT attisdropped
);

-- Queries on the catalogue, and on lanes as the catalogue's writes change them.

-- name: lock_gateway
SELECT epoch FROM eventmill.gateway FOR UPDATE;

-- name: epoch
SELECT epoch FROM eventmill.gateway;

-- name: set_epoch
UPDATE eventmill.gateway SET epoch = $1;

-- name: clock
SELECT clock_offset_ms, clock_jumped_ms FROM eventmill.gateway;

-- A node that has not heard of another's advance yet must not take it back.
-- name: set_clock
UPDATE eventmill.gateway
SET clock_offset_ms = $1 + greatest(0, clock_jumped_ms - $2), clock_jumped_ms = greatest(clock_jumped_ms, $2);

-- name: next_number
INSERT INTO eventmill.counter AS known (name, value) VALUES ($1, 1001)
ON CONFLICT (name) DO UPDATE SET value = known.value + 1
RETURNING value;

-- name: get_doc
SELECT version, doc FROM eventmill.doc WHERE kind = $1 AND org = $2 AND id = $3;

-- Kept from being deleted until the commit.
-- name: require
SELECT true FROM eventmill.doc WHERE kind = $1 AND org = $2 AND id = $3 FOR SHARE;

-- name: lock_unrouted
SELECT pg_advisory_xact_lock(hashtextextended('eventmill ' || $1::text, 0));

-- name: get_version
SELECT version FROM eventmill.doc WHERE kind = $1 AND org = $2 AND id = $3;

-- name: list_docs
SELECT id, version, doc FROM eventmill.doc WHERE kind = $1 AND org = $2 ORDER BY created;

-- name: list_docs_by_key
SELECT doc.id, doc.version, doc.doc
FROM eventmill.doc_key JOIN eventmill.doc USING (kind, org, id)
WHERE kind = $1 AND doc_key.name = $2 AND doc_key.value = $3 AND org = $4
ORDER BY doc.created;

-- name: scan_docs_by_key
SELECT doc.org, doc.id, doc.version, doc.doc
FROM eventmill.doc_key JOIN eventmill.doc USING (kind, org, id)
WHERE kind = $1 AND doc_key.name = $2 AND doc_key.value = $3
ORDER BY doc.created;

-- name: scan_docs
SELECT org, id, version, doc FROM eventmill.doc WHERE kind = $1 ORDER BY created;

-- name: scan_page
SELECT org, id, version, doc FROM eventmill.doc
WHERE kind = $1 AND (org, id) > ($2, $3) ORDER BY org, id LIMIT $4;

-- name: docs_of_kinds
SELECT kind, org, id FROM eventmill.doc WHERE kind = ANY ($1::text[]) ORDER BY array_position($1::text[], kind), created;

-- name: insert_doc
INSERT INTO eventmill.doc (kind, org, id, version, doc, created) VALUES ($1, $2, $3, 1, $4, $5);

-- name: update_doc
UPDATE eventmill.doc SET version = version + 1, doc = $4 WHERE kind = $1 AND org = $2 AND id = $3;

-- name: delete_doc
DELETE FROM eventmill.doc WHERE kind = $1 AND org = $2 AND id = $3;

-- name: insert_key
INSERT INTO eventmill.doc_key (kind, name, value, org, id) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

-- name: delete_keys
DELETE FROM eventmill.doc_key WHERE kind = $1 AND org = $2 AND id = $3;

-- name: key_holders
SELECT org, id FROM eventmill.doc_key
WHERE kind = $1 AND name = $2 AND value = $3 AND ($4::text IS NULL OR org = $4) AND NOT (org = $5 AND id = $6)
ORDER BY org, id LIMIT $7;

-- name: insert_change
INSERT INTO eventmill.change (epoch, org, kind, id) VALUES ($1, $2, $3, $4);

-- name: changes
SELECT epoch, org, kind, id FROM eventmill.change WHERE epoch > $1 ORDER BY epoch LIMIT $2;

-- name: trim_changes
DELETE FROM eventmill.change WHERE epoch <= $1;

-- name: add_org
INSERT INTO eventmill.org (org, shard, epoch)
SELECT $1, (SELECT count(*) FROM eventmill.org) % (SELECT count(*) FROM eventmill.shard), 0
ON CONFLICT (org) DO NOTHING;

-- name: lock_shards
SELECT id, head FROM eventmill.shard
WHERE $1::text[] IS NULL OR id IN (SELECT shard FROM eventmill.org WHERE org = ANY ($1::text[]))
ORDER BY id FOR UPDATE;

-- All of them by NULL, and some without a look at all.
-- name: shards_of
SELECT org, shard FROM eventmill.org WHERE org = ANY (coalesce($1::text[], ARRAY(SELECT org FROM eventmill.org)));

-- name: set_epochs
UPDATE eventmill.org SET epoch = raised.epoch FROM unnest($1::text[], $2::bigint[]) AS raised (org, epoch)
WHERE org.org = raised.org;

-- name: orgs_of_lanes
SELECT DISTINCT org FROM eventmill.lane WHERE lane = ANY ($1::bigint[]);

-- name: has_lane
SELECT EXISTS (SELECT FROM eventmill.lane WHERE lane = $1);

-- name: insert_lane
INSERT INTO eventmill.lane (lane, mark, opened, shard, slot, org, registration_id) VALUES ($1, $2, $2, $3, $4, $5, $6);

-- name: lock_lane
SELECT org, shard, registration_id, mark, done, disabled, tombstone FROM eventmill.lane WHERE lane = $1 FOR UPDATE;

-- name: disable_lane
UPDATE eventmill.lane SET disabled = true, gapped = true WHERE lane = $1;

-- name: enable_lane
UPDATE eventmill.lane SET disabled = false, mark = $2, done = '{}' WHERE lane = $1;

-- name: close_lane
UPDATE eventmill.lane SET tombstone = $2 WHERE lane = $1;

-- name: split_tallies
UPDATE eventmill.lane SET counted_ms = coalesce($2, counted_ms), split_ms = $3 WHERE lane = $1;

-- name: insert_gap
INSERT INTO eventmill.gap (lane, from_seq, to_seq, opened_ms, closed_ms, cause, settled)
VALUES ($1, $2, NULL, $3, NULL, $4, $5);

-- name: close_gap
UPDATE eventmill.gap SET to_seq = greatest($2, from_seq - 1), closed_ms = $3 WHERE lane = $1 AND to_seq IS NULL;

-- name: forget_lane
DELETE FROM eventmill.lane WHERE lane = $1;

-- name: forget_gaps
DELETE FROM eventmill.gap WHERE lane = $1;

-- name: forget_units
DELETE FROM eventmill.unit WHERE lane = $1;

-- name: forget_ended
DELETE FROM eventmill.ended WHERE lane = $1;

-- name: forget_traces
DELETE FROM eventmill.trace WHERE lane = $1;

-- name: forget_tallies
DELETE FROM eventmill.tally WHERE lane = $1;

-- name: forget_replay_tallies
DELETE FROM eventmill.replay_tally WHERE lane = $1;

-- name: open_gap
SELECT from_seq, cause FROM eventmill.gap WHERE lane = $1 AND to_seq IS NULL;

-- Positions go on: the shards keep their heads.
-- name: empty
TRUNCATE eventmill.lane, eventmill.gap, eventmill.unit, eventmill.ended, eventmill.trace, eventmill.tally,
    eventmill.replay_tally, eventmill.unmatched, eventmill.unmatched_tally,
    eventmill.event, eventmill.posting, eventmill.attempt, eventmill.org_day, eventmill.shard_day;
UPDATE eventmill.shard SET dropped = head;
UPDATE eventmill.gateway SET generation = generation + 1;
INSERT INTO eventmill.shard_day (shard, day, first_seq)
SELECT id, last_ts_ms / 86400000, head + 1 FROM eventmill.shard WHERE last_ts_ms > 0;

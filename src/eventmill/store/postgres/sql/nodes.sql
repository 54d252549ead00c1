-- Queries on the nodes, for people who look at them.

-- Those that gave a sign lately, and those that hold slots, this one first.
-- name: known_nodes
SELECT node.id::text, node.version, count(slot.slot)::integer AS slots, node.id = $1 AS is_this,
    EXISTS (SELECT FROM eventmill.presidency WHERE holder = node.id AND presidency.till > clock_timestamp()) AS presides,
    greatest(0, extract(epoch FROM clock_timestamp() - seen))::float8 AS seen_s
FROM eventmill.node LEFT JOIN eventmill.slot ON slot.owner = node.id AND slot.till > clock_timestamp()
WHERE greatest(seen, node.till) > clock_timestamp() - $2 * interval '1 second' OR slot.slot IS NOT NULL
GROUP BY node.id
ORDER BY is_this DESC, node.id;

-- Everything that outlives a segment.

CREATE TABLE migration (
    number   INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    checksum TEXT NOT NULL
);

-- generation, next_seq, last_ts_ms, dropped_seq, clock_offset_ms
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- created: change epoch of the creation, so that it orders
CREATE TABLE doc (
    kind    TEXT NOT NULL,
    org     TEXT NOT NULL,
    id      TEXT NOT NULL,
    version INTEGER NOT NULL,
    doc     BLOB NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (kind, org, id)
) WITHOUT ROWID;

-- org comes late in the key: some names are unique over all organisations.
CREATE TABLE doc_key (
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    org   TEXT NOT NULL,
    id    TEXT NOT NULL,
    PRIMARY KEY (kind, name, value, org, id)
) WITHOUT ROWID;
CREATE INDEX doc_key_of ON doc_key (kind, org, id);

CREATE TABLE change (
    epoch INTEGER PRIMARY KEY,
    org   TEXT NOT NULL,
    kind  TEXT NOT NULL,
    id    TEXT NOT NULL
);

-- opened: head when the lane began; its journal lies above. floor: highest position dropped by retention.
CREATE TABLE lane (
    lane            INTEGER PRIMARY KEY,
    org             TEXT NOT NULL,
    registration_id TEXT NOT NULL,
    opened          INTEGER NOT NULL,
    floor           INTEGER NOT NULL,
    disabled        INTEGER NOT NULL,
    tombstone       BLOB
);

-- Apart from lane, because it is written with every checkpoint.
CREATE TABLE progress (
    lane INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL,
    done BLOB NOT NULL
);

CREATE TABLE gap (
    id        INTEGER PRIMARY KEY,
    lane      INTEGER NOT NULL,
    from_seq  INTEGER NOT NULL,
    to_seq    INTEGER,
    cause     TEXT NOT NULL,
    opened_ms INTEGER NOT NULL,
    closed_ms INTEGER,
    settled   BLOB NOT NULL
);
CREATE INDEX gap_of ON gap (lane, id);
CREATE INDEX gap_age ON gap (closed_ms);

CREATE TABLE unit (
    unit_id   BLOB PRIMARY KEY,
    lane      INTEGER NOT NULL,
    positions BLOB NOT NULL,
    first_seq INTEGER NOT NULL,
    batch     INTEGER NOT NULL,
    first_ms  INTEGER NOT NULL,
    retries   INTEGER NOT NULL,
    due_ms    INTEGER NOT NULL,
    cause     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX unit_due ON unit (lane, due_ms);
-- Retention asks for the units of the positions it drops.
CREATE INDEX unit_first ON unit (first_seq);

CREATE TABLE ended (
    id        INTEGER PRIMARY KEY,
    lane      INTEGER NOT NULL,
    positions BLOB NOT NULL,
    outcome   TEXT NOT NULL,
    cause     INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL
);
CREATE INDEX ended_of ON ended (lane, id);
CREATE INDEX ended_age ON ended (at_ms);

-- A ring per lane and kind: slot is replaced round robin, n counts on.
CREATE TABLE trace (
    lane      INTEGER NOT NULL,
    ok        INTEGER NOT NULL,
    slot      INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    ts_ms     INTEGER NOT NULL,
    positions BLOB NOT NULL,
    detail    BLOB NOT NULL,
    PRIMARY KEY (lane, ok, slot)
);

CREATE TABLE tally (
    lane      INTEGER NOT NULL,
    bucket_ms INTEGER NOT NULL,
    ok        INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    PRIMARY KEY (lane, bucket_ms)
) WITHOUT ROWID;
CREATE INDEX tally_age ON tally (bucket_ms);

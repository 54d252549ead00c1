-- One business day of events. Made beside its final name and renamed into place, so it is never seen half made.

-- lanes comes before body: reading the log never touches overflow pages.
CREATE TABLE event (
    seq      INTEGER PRIMARY KEY,
    ts_ms    INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    origin   INTEGER NOT NULL,
    lanes    BLOB NOT NULL,
    body     BLOB NOT NULL
);
CREATE INDEX event_by_id ON event (event_id);

CREATE TABLE origin (
    id     INTEGER PRIMARY KEY,
    org    TEXT NOT NULL,
    origin BLOB NOT NULL
);

-- A lane's positions, packed in ascending chunks.
CREATE TABLE posting (
    lane     INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    chunk    BLOB NOT NULL,
    PRIMARY KEY (lane, last_seq)
) WITHOUT ROWID;

CREATE TABLE attempt (
    id    INTEGER PRIMARY KEY,
    lane  INTEGER NOT NULL,
    block BLOB NOT NULL
);
CREATE INDEX attempt_of ON attempt (lane);

-- Body bytes per organisation, of the events up to snapshot.seq.
CREATE TABLE org_bytes (
    org   TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL
) WITHOUT ROWID;

-- One row. Every position up to seq is in a posting chunk or in tails. Read when a process starts, so that it scans only
-- the events after it. Replaced now and then; empty once the segment is finished.
CREATE TABLE snapshot (
    seq   INTEGER NOT NULL,
    tails BLOB NOT NULL
);
INSERT INTO snapshot (seq, tails) VALUES (0, x'');

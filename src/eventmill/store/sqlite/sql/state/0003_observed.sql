-- Traces go after a while, not only when newer ones take their places.
CREATE INDEX trace_age ON trace (ts_ms);

-- Published events that no registration was there for; id counts on over all organizations.
CREATE TABLE unmatched (
    id           INTEGER PRIMARY KEY,
    org          TEXT NOT NULL,
    event_id     BLOB NOT NULL,
    published_id TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    detail       BLOB NOT NULL
);
CREATE INDEX unmatched_of ON unmatched (org, id);
CREATE INDEX unmatched_age ON unmatched (at_ms);

-- All of them, those included that are remembered no longer.
CREATE TABLE unmatched_tally (
    org       TEXT NOT NULL,
    bucket_ms INTEGER NOT NULL,
    events    INTEGER NOT NULL,
    PRIMARY KEY (org, bucket_ms)
) WITHOUT ROWID;
CREATE INDEX unmatched_tally_age ON unmatched_tally (bucket_ms);

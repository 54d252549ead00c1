-- The audit trail of events with protected health information. Rows are added, and go by age; none is ever changed.

CREATE TABLE phi_audit (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    org             TEXT NOT NULL,
    at_ms           INTEGER NOT NULL,
    event_id        BLOB NOT NULL,
    id              TEXT NOT NULL,
    provider_id     TEXT NOT NULL,
    event_code      TEXT NOT NULL,
    client_id       TEXT NOT NULL,
    registration_id TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    status          INTEGER NOT NULL
);
CREATE INDEX phi_audit_of ON phi_audit (org, number);
CREATE INDEX phi_audit_age ON phi_audit (at_ms);

CREATE TRIGGER phi_audit_stays BEFORE UPDATE ON phi_audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

-- The kept events that such rows are written for, by position.
CREATE TABLE phi_event (
    seq         INTEGER PRIMARY KEY,
    org         TEXT NOT NULL,
    event_id    BLOB NOT NULL,
    id          TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    event_code  TEXT NOT NULL,
    client_id   TEXT NOT NULL
);

-- Units and ends of replays, and both found by position.

-- span: last position less the first. size: how many positions. A batch from before may reach anywhere.
ALTER TABLE unit ADD COLUMN replay BLOB NOT NULL DEFAULT x'';
ALTER TABLE unit ADD COLUMN span INTEGER NOT NULL DEFAULT 0;
ALTER TABLE unit ADD COLUMN size INTEGER NOT NULL DEFAULT 1;
UPDATE unit SET span = 1 << 61 WHERE batch = 1;
DROP INDEX unit_due;
DROP INDEX unit_first;
CREATE INDEX unit_due ON unit (lane, replay <> x'', due_ms, first_seq);
CREATE INDEX unit_at ON unit (lane, first_seq);
CREATE INDEX unit_spanned ON unit (lane, first_seq) WHERE span > 0;
CREATE INDEX unit_longest ON unit (lane, span) WHERE span > 0;
CREATE INDEX unit_of_replay ON unit (replay) WHERE replay <> x'';

ALTER TABLE ended ADD COLUMN replay BLOB NOT NULL DEFAULT x'';
ALTER TABLE ended ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ended ADD COLUMN span INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ended ADD COLUMN size INTEGER NOT NULL DEFAULT 1;
-- Out of the packed positions: the first, and the count of a run, little-endian; of the other forms, which may reach
-- anywhere, the count by their bytes a position.
UPDATE ended SET
    first_seq = (
        SELECT sum(
            (instr('123456789ABCDEF', substr(hex(positions), 2 * column1 + 1, 1)) << 4)
            + instr('123456789ABCDEF', substr(hex(positions), 2 * column1 + 2, 1)) << (8 * (column1 - 1))
        )
        FROM (VALUES (1), (2), (3), (4), (5), (6), (7))
    ),
    size = CASE substr(hex(positions), 1, 2)
        WHEN '00' THEN (
            SELECT sum(
                (instr('123456789ABCDEF', substr(hex(positions), 2 * column1 + 1, 1)) << 4)
                + instr('123456789ABCDEF', substr(hex(positions), 2 * column1 + 2, 1)) << (8 * (column1 - 9))
            )
            FROM (VALUES (9), (10), (11), (12))
        )
        WHEN '01' THEN length(positions) - 9
        WHEN '02' THEN (length(positions) - 9) / 2
        WHEN '03' THEN (length(positions) - 9) / 4
        ELSE (length(positions) - 9) / 8
    END;
UPDATE ended SET span = CASE substr(hex(positions), 1, 2) WHEN '00' THEN size - 1 ELSE 1 << 61 END;
CREATE INDEX ended_at ON ended (lane, first_seq, span, size, outcome);
CREATE INDEX ended_spanned ON ended (lane, first_seq) WHERE span > 0;
CREATE INDEX ended_longest ON ended (lane, span) WHERE span > 0;

-- handed: positions given to units. failed: those of them that ended undelivered.
CREATE TABLE replay_tally (
    replay BLOB PRIMARY KEY,
    lane   INTEGER NOT NULL,
    handed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX replay_tally_of ON replay_tally (lane);
CREATE INDEX replay_tally_age ON replay_tally (at_ms);

-- Every node that has the database open says so here, those too that take no slots; what it knows decides which steps
-- may be run. A node of before this step writes neither.

-- till: how long it counts as one that takes slots. schema: the highest step its program knows.
ALTER TABLE eventmill.node
    ALTER COLUMN till SET DEFAULT '-infinity',
    ADD COLUMN seen    timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN version text NOT NULL DEFAULT '',
    ADD COLUMN schema  integer NOT NULL DEFAULT 1;

-- How long units have been waiting, lane by lane, without a look at the units themselves.

CREATE INDEX unit_age ON unit (lane, first_ms);

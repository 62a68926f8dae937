-- From when on attempts are rows: a midnight of UTC, as a Unix second; 0: from the first on. Before it only the sums of
-- days (`rollups` under `day:`) are kept.

CREATE TABLE horizon (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL
) STRICT;

INSERT INTO horizon VALUES (1, 0);

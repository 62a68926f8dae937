-- The ledger: attempts as rows, what they sum up to, and how far the workers' journals have been folded.
-- Money is nano-dollars, `opened` and `closed` Unix nanoseconds. STRICT: a number that is no integer is an error.

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    request TEXT NOT NULL,
    number INTEGER NOT NULL,
    opened INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    user TEXT NOT NULL,
    task TEXT NOT NULL,
    prompt TEXT NOT NULL,
    tags TEXT NOT NULL,            -- JSON: {"name": "value"}
    model TEXT NOT NULL,
    deployment TEXT NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    status INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    answered INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost INTEGER,                  -- NULL: the price is not known
    charge INTEGER,
    winner_pays INTEGER NOT NULL,
    bound INTEGER,
    price_table TEXT,
    flags INTEGER NOT NULL,        -- stores/rows.py
    holds BLOB NOT NULL            -- msgpack: [[account, reserved, settled], ...]
) STRICT;

CREATE INDEX attempts_request ON attempts (request, number);
CREATE INDEX attempts_opened ON attempts (opened);

-- Sums over attempts by when they were opened: by quarter of an hour, and by day of UTC where the dimension begins with
-- `day:`. A bucket is the Unix second at which that begins.
CREATE TABLE rollups (
    dimension TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    value TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    requests INTEGER NOT NULL,     -- first attempts
    failed INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost INTEGER NOT NULL,         -- of those whose price is known
    charge INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,     -- how many are not
    estimated INTEGER NOT NULL,
    ambiguous INTEGER NOT NULL,
    absurd INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    PRIMARY KEY (dimension, bucket, value)
) STRICT, WITHOUT ROWID;

-- What was settled of each account in each of its windows.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    value TEXT NOT NULL,
    "window" INTEGER NOT NULL,     -- when it begins, Unix seconds
    unit TEXT NOT NULL,
    seeded INTEGER NOT NULL,       -- spent before the rule was there
    settled INTEGER NOT NULL,
    UNIQUE (rule, value, "window")
) STRICT;

-- Since when each rule has been there without a gap: what was spent before, in the window that then ran, is `seeded`.
CREATE TABLE budget_starts (
    rule TEXT PRIMARY KEY,
    since INTEGER NOT NULL         -- Unix nanoseconds
) STRICT, WITHOUT ROWID;

-- Up to where each worker's journal is in the tables above, and the attempts that it has not closed up to there.
CREATE TABLE journals (
    name TEXT PRIMARY KEY,
    segment INTEGER NOT NULL,
    "offset" INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE open_attempts (
    journal TEXT NOT NULL REFERENCES journals (name) ON DELETE CASCADE,
    request TEXT NOT NULL,
    number INTEGER NOT NULL,
    opened BLOB NOT NULL,          -- msgpack: rows.Opened
    heard BLOB,                    -- msgpack: rows.Heard
    PRIMARY KEY (journal, request, number)
) STRICT, WITHOUT ROWID;

-- Attempts as they are counted: `-` for none, and with the tenant before what is a tenant's own.
CREATE VIEW attributed AS
SELECT
    request, number, opened, flags, cost, charge, answered, outcome, tags,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    coalesce(nullif(tenant, ''), '-') AS tenant,
    coalesce(nullif(tenant, ''), '-') || '/' || coalesce(nullif(project, ''), '-') AS project,
    coalesce(nullif(tenant, ''), '-') || '/' || coalesce(nullif(user, ''), '-') AS user,
    coalesce(nullif(tenant, ''), '-') || '/' || coalesce(nullif(task, ''), '-') AS task,
    coalesce(nullif(key, ''), '-') AS key,
    coalesce(nullif(prompt, ''), '-') AS prompt,
    coalesce(nullif(model, ''), '-') AS model,
    coalesce(nullif(deployment, ''), '-') AS deployment,
    coalesce(nullif(provider, ''), '-') AS provider
FROM attempts;

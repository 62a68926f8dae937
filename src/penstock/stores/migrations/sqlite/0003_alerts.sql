-- What somebody was told of, once each, and what of it the webhook has still to hear. Times are Unix seconds.

CREATE TABLE alerts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,       -- the webhook's message id
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    once TEXT NOT NULL,            -- of one kind and subject what is told once: a window and a threshold, an hour
    tenant TEXT NOT NULL,          -- "" for what concerns no tenant alone
    at INTEGER NOT NULL,
    body BLOB NOT NULL,            -- JSON, as it is sent
    state TEXT NOT NULL,           -- open, sent, failed, dropped, or none: there is no webhook
    tries INTEGER NOT NULL,
    due INTEGER NOT NULL,
    UNIQUE (kind, subject, once)
) STRICT;

CREATE INDEX alerts_open ON alerts (due) WHERE state = 'open';
CREATE INDEX alerts_at ON alerts (at);

-- Which accounts of a budget are the fullest in its window.
CREATE INDEX accounts_window ON accounts (rule, "window");

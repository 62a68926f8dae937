-- Limits and budgets that were made by the control plane, in the words of the configuration file. `tenant`: whose they
-- are alone; `owner`: of which tenant whoever made it was. Both '' for nobody's. Times are Unix seconds.

CREATE TABLE stored_rules (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('limit', 'budget')),
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    body TEXT NOT NULL,
    created INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

-- Tenants, projects, keys and providers' credentials. Times are Unix seconds. `version` is the directory's version at
-- which a row changed last: what has changed since one is found by it, and it is the row's etag.

CREATE TABLE directory (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL
) STRICT;

CREATE TABLE tenants (
    name TEXT PRIMARY KEY,
    charge TEXT NOT NULL CHECK (charge IN ('attempts', 'winner')),
    weight INTEGER NOT NULL CHECK (weight BETWEEN 1 AND 1000000),
    created INTEGER NOT NULL,
    archived INTEGER,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    archived INTEGER,
    version INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- Lists are JSON; NULL is no limit. An empty `routes` allows nothing on the data plane.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    env TEXT NOT NULL CHECK (env IN ('live', 'test')),
    tenant TEXT NOT NULL,
    project TEXT NOT NULL,
    role TEXT CHECK (role IN ('viewer', 'operator', 'tenant_admin', 'admin')),
    models TEXT,
    routes TEXT,
    addresses TEXT,
    expires INTEGER,
    max_output INTEGER CHECK (max_output >= 1),
    priority TEXT,
    overrides INTEGER NOT NULL DEFAULT 0,
    trusts_user INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    revoked INTEGER,
    last_used INTEGER,
    version INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX keys_by_name ON keys (tenant, name) WHERE revoked IS NULL;
CREATE INDEX keys_by_version ON keys (version);

-- What a key is known by: one, or two while a rotation overlaps. Never the key: its HMAC, and what may be shown.
CREATE TABLE key_secrets (
    digest BLOB PRIMARY KEY,
    key TEXT NOT NULL REFERENCES keys (id),
    prefix TEXT NOT NULL,
    last_four TEXT NOT NULL,
    created INTEGER NOT NULL,
    ends INTEGER
) STRICT;

CREATE INDEX key_secrets_by_key ON key_secrets (key);

-- Encrypted for this row and name alone (stores/vault.py).
CREATE TABLE provider_secrets (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    nonce BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    fingerprint TEXT NOT NULL,
    last_four TEXT NOT NULL,
    created INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

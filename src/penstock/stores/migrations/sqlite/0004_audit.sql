-- Who changed what: every change by the control plane, in the order in which they were made. Each row holds the hash of
-- the one before it and its own over all of its columns (stores/audit.py). Times are Unix nanoseconds.

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant TEXT NOT NULL,
    before TEXT,
    after TEXT,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE INDEX audit_by_tenant ON audit (tenant, number);

-- Before anything else: INSERT OR REPLACE would take a row away without a word to the trigger that watches DELETE.
CREATE TRIGGER audit_is_appended BEFORE INSERT ON audit
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM audit)
    OR NEW.previous IS NOT coalesce((SELECT hash FROM audit ORDER BY number DESC LIMIT 1), zeroblob(32))
BEGIN
    SELECT RAISE(ABORT, 'the audit log is appended to');
END;

CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'nothing is taken from the audit log');
END;

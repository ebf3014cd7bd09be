-- When somebody's list of contacts changed last, whatever changed it: the server tells those who are connected.
ALTER TABLE users ADD COLUMN contacts_changed_at INTEGER;
CREATE INDEX users_by_change_of_contacts ON users (contacts_changed_at) WHERE contacts_changed_at IS NOT NULL;

CREATE TRIGGER contact_added AFTER INSERT ON contacts BEGIN
    UPDATE users SET contacts_changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE id IN (NEW.low, NEW.high);
END;
CREATE TRIGGER contact_removed AFTER DELETE ON contacts BEGIN
    UPDATE users SET contacts_changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE id IN (OLD.low, OLD.high);
END;
-- Clinicians see each other without a row.
CREATE TRIGGER clinician_added AFTER INSERT ON users WHEN NEW.role = 'clinician' BEGIN
    UPDATE users SET contacts_changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE role = 'clinician' AND id <> NEW.id;
END;
CREATE TRIGGER user_disabled_or_enabled AFTER UPDATE OF disabled_at ON users BEGIN
    UPDATE users SET contacts_changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE id IN (SELECT high FROM contacts WHERE low = NEW.id UNION SELECT low FROM contacts WHERE high = NEW.id)
        OR (NEW.role = 'clinician' AND role = 'clinician' AND id <> NEW.id);
END;

-- An answer with a ticket is kept as the call it is for: its tokens are made anew for who repeats the request.
ALTER TABLE idempotency_keys ADD COLUMN call_id BLOB;
DELETE FROM idempotency_keys WHERE instr(CAST(body AS TEXT), '"room_token"') > 0;

CREATE INDEX room_tokens_by_expiry ON room_tokens (expires_at);

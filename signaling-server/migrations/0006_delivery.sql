-- What the delivery service goes by to keep one participant from breaking a conversation for the others.

-- The devices in each group, as far as the server can know: who founded it, came in from outside, or was welcomed. One
-- that is missing here comes in from outside once.
CREATE TABLE conversation_members (
    conversation_id BLOB NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    device_id       BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    PRIMARY KEY (conversation_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_members_by_device ON conversation_members (device_id);
INSERT INTO conversation_members (conversation_id, device_id)
SELECT conversation_id, device_id FROM conversation_entries
UNION SELECT w.conversation_id, d.device_id FROM welcome_devices d JOIN welcomes w ON w.id = d.welcome_id;

-- Where the entries of the present group begin: later than 0 once it was founded anew.
ALTER TABLE conversations ADD COLUMN group_begins INTEGER NOT NULL DEFAULT 0;

-- What each person has in each log, bytes: entries with what a row costs, welcomes, group information. The triggers keep
-- it right whatever adds or deletes rows.
ALTER TABLE conversations ADD COLUMN group_info_by BLOB REFERENCES users (id);
ALTER TABLE welcomes ADD COLUMN user_id BLOB REFERENCES users (id);
CREATE TABLE log_usage (
    conversation_id BLOB    NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    user_id         BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    bytes           INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX log_usage_by_user ON log_usage (user_id);
INSERT INTO log_usage (conversation_id, user_id, bytes)
SELECT conversation_id, user_id, SUM(256 + COALESCE(LENGTH(body), 0)) FROM conversation_entries GROUP BY 1, 2;

CREATE TRIGGER entry_counted AFTER INSERT ON conversation_entries BEGIN
    INSERT INTO log_usage (conversation_id, user_id, bytes)
    VALUES (NEW.conversation_id, NEW.user_id, 256 + COALESCE(LENGTH(NEW.body), 0))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER entry_emptied AFTER UPDATE OF body ON conversation_entries BEGIN
    UPDATE log_usage SET bytes = bytes + COALESCE(LENGTH(NEW.body), 0) - COALESCE(LENGTH(OLD.body), 0)
    WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id;
END;
CREATE TRIGGER entry_deleted AFTER DELETE ON conversation_entries BEGIN
    UPDATE log_usage SET bytes = bytes - 256 - COALESCE(LENGTH(OLD.body), 0)
    WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id;
END;
CREATE TRIGGER welcome_counted AFTER INSERT ON welcomes WHEN NEW.user_id IS NOT NULL BEGIN
    INSERT INTO log_usage (conversation_id, user_id, bytes)
    VALUES (NEW.conversation_id, NEW.user_id, 256 + LENGTH(NEW.body))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER welcome_deleted AFTER DELETE ON welcomes WHEN OLD.user_id IS NOT NULL BEGIN
    UPDATE log_usage SET bytes = bytes - 256 - LENGTH(OLD.body)
    WHERE conversation_id = OLD.conversation_id AND user_id = OLD.user_id;
END;
CREATE TRIGGER group_info_replaced AFTER UPDATE OF group_info ON conversations WHEN NEW.group_info_by IS NOT NULL BEGIN
    UPDATE log_usage SET bytes = bytes - COALESCE(LENGTH(OLD.group_info), 0)
    WHERE conversation_id = OLD.id AND user_id = OLD.group_info_by;
    INSERT INTO log_usage (conversation_id, user_id, bytes)
    VALUES (NEW.id, NEW.group_info_by, LENGTH(NEW.group_info))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

-- Conversations: who takes part, one numbered log of sealed entries each, and what devices need to join their groups.
-- Everything in a column named `body` or `group_info` is sealed or public by MLS; nothing here can be read.

-- A revoked device keeps its row, so that its id never comes back.
ALTER TABLE devices ADD COLUMN revoked_at INTEGER;
-- Named by its owner: signing in no longer changes the name.
ALTER TABLE devices ADD COLUMN renamed_at INTEGER;

CREATE TABLE conversations (
    id              BLOB    NOT NULL PRIMARY KEY,
    kind            TEXT    NOT NULL CHECK (kind IN ('direct', 'group')),
    -- The two people of a direct one; `low` is the smaller id.
    low             BLOB    REFERENCES users (id),
    high            BLOB    REFERENCES users (id),
    created_by      BLOB    NOT NULL REFERENCES users (id),
    created_at      INTEGER NOT NULL,
    founded_at      INTEGER,
    -- SHA-256 of the group information that it was founded with: a repeated request is known by it.
    founded_with    BLOB,
    epoch           INTEGER NOT NULL DEFAULT 0,
    first_position  INTEGER NOT NULL DEFAULT 0,
    next_position   INTEGER NOT NULL DEFAULT 0,
    -- The newest, of `epoch`, and the position after the commit it came with.
    group_info          BLOB,
    group_info_position INTEGER NOT NULL DEFAULT 0,
    last_message_at INTEGER,
    CHECK (kind = 'group' OR (low IS NOT NULL AND high IS NOT NULL AND low < high))
) STRICT;
CREATE UNIQUE INDEX conversations_direct ON conversations (low, high) WHERE kind = 'direct';

CREATE TABLE conversation_participants (
    conversation_id BLOB NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    user_id         BLOB NOT NULL REFERENCES users (id),
    PRIMARY KEY (conversation_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_participants_by_user ON conversation_participants (user_id);

-- Once every device has an entry its `body` goes; the row stays for the retention, to know a repeated request by.
CREATE TABLE conversation_entries (
    conversation_id BLOB    NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    position        INTEGER NOT NULL,
    -- Chosen by the device.
    id              BLOB    NOT NULL,
    device_id       BLOB    NOT NULL REFERENCES devices (id),
    user_id         BLOB    NOT NULL REFERENCES users (id),
    kind            TEXT    NOT NULL,
    epoch           INTEGER NOT NULL,
    call_id         BLOB,
    at              INTEGER NOT NULL,
    -- SHA-256 of `body`.
    digest          BLOB    NOT NULL,
    body            BLOB,
    PRIMARY KEY (conversation_id, position)
) STRICT;
CREATE UNIQUE INDEX conversation_entries_by_device ON conversation_entries (device_id, id);
CREATE UNIQUE INDEX conversation_entries_by_digest ON conversation_entries (conversation_id, digest);
CREATE INDEX conversation_entries_by_time ON conversation_entries (at);

-- Up to where a device has a log on its disk.
CREATE TABLE conversation_acks (
    conversation_id BLOB    NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    device_id       BLOB    NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    next_position   INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_acks_by_device ON conversation_acks (device_id);

CREATE TABLE welcomes (
    id              BLOB    NOT NULL PRIMARY KEY,
    conversation_id BLOB    NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    -- The position after the commit it came with.
    position        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    body            BLOB    NOT NULL
) STRICT;
CREATE INDEX welcomes_by_time ON welcomes (created_at);

-- The devices that have yet to join by it.
CREATE TABLE welcome_devices (
    welcome_id BLOB NOT NULL REFERENCES welcomes (id) ON DELETE CASCADE,
    device_id  BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    PRIMARY KEY (welcome_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX welcome_devices_by_device ON welcome_devices (device_id);

-- Key packages. One that was handed out keeps its digest for a while, so that it is not taken a second time.
CREATE TABLE key_packages (
    device_id   BLOB    NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    digest      BLOB    NOT NULL,
    last_resort INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    claimed_at  INTEGER,
    body        BLOB,
    PRIMARY KEY (device_id, digest)
) STRICT;
CREATE INDEX key_packages_left ON key_packages (device_id) WHERE body IS NOT NULL;

-- Sealed files, and the parts of them that are in the blob store as `<attachment>/<number>`.

CREATE TABLE attachments (
    -- Chosen by the sender.
    id              BLOB    NOT NULL PRIMARY KEY,
    owner_id        BLOB    NOT NULL REFERENCES users (id),
    total_bytes     INTEGER NOT NULL,
    received_bytes  INTEGER NOT NULL DEFAULT 0,
    -- Once complete.
    sha256          BLOB,
    access          TEXT    NOT NULL CHECK (access IN ('private', 'shared_call', 'shared_conversation')),
    conversation_id BLOB    REFERENCES conversations (id),
    call_id         BLOB    REFERENCES calls (id),
    message_id      BLOB,
    uploaded_at     INTEGER NOT NULL,
    progressed_at   INTEGER NOT NULL,
    completed_at    INTEGER,
    expires_at      INTEGER NOT NULL,
    -- Expired or deleted: its bytes are no longer kept. The row stays, to say so.
    gone_at         INTEGER
) STRICT;
CREATE INDEX attachments_by_owner ON attachments (owner_id) WHERE gone_at IS NULL;
CREATE INDEX attachments_by_expiry ON attachments (expires_at) WHERE gone_at IS NULL;

CREATE TABLE attachment_parts (
    attachment_id BLOB    NOT NULL REFERENCES attachments (id) ON DELETE CASCADE,
    number        INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    PRIMARY KEY (attachment_id, number)
) STRICT, WITHOUT ROWID;

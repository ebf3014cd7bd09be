-- People, their devices, their sign-ins, and who may talk to whom.
-- Ids are UUIDs as 16-byte blobs; times are milliseconds since 1970 (UTC).

CREATE TABLE users (
    id               BLOB    NOT NULL PRIMARY KEY,
    login            TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    name             TEXT    NOT NULL,
    role             TEXT    NOT NULL CHECK (role IN ('patient', 'clinician', 'guest', 'admin')),
    specialty        TEXT,
    password_hash    TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    disabled_at      INTEGER,
    -- Presence that outlives the process: when a device of theirs was last heard from, and its kind.
    last_seen_at     INTEGER,
    last_device_type TEXT
) STRICT;

CREATE TABLE devices (
    id          BLOB    NOT NULL PRIMARY KEY,
    user_id     BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    device_type TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX devices_by_user ON devices (user_id);

-- One row per sign-in: the family that all its refresh tokens belong to.
CREATE TABLE sign_ins (
    id           BLOB    NOT NULL PRIMARY KEY,
    user_id      BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id    BLOB    NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    signed_in_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    -- signed_out | revoked | reused | replaced
    revoked_why  TEXT
) STRICT;
CREATE INDEX sign_ins_by_user ON sign_ins (user_id);
CREATE INDEX sign_ins_by_device ON sign_ins (device_id);

-- Tokens are stored as their SHA-256 only. A used refresh token stays until its family expires, so that its
-- second use is noticed.
CREATE TABLE refresh_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    sign_in_id BLOB    NOT NULL REFERENCES sign_ins (id) ON DELETE CASCADE,
    issued_at  INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_sign_in ON refresh_tokens (sign_in_id);

CREATE TABLE access_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    sign_in_id BLOB    NOT NULL REFERENCES sign_ins (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_by_sign_in ON access_tokens (sign_in_id);

-- A care relation, once per pair: `low` is the smaller id. Clinicians see each other without a row.
CREATE TABLE contacts (
    low        BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    high       BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (low, high),
    CHECK (low < high)
) STRICT, WITHOUT ROWID;
CREATE INDEX contacts_by_high ON contacts (high);

-- Answers to write requests that carried an Idempotency-Key, so that a retry gets the same answer.
CREATE TABLE idempotency_keys (
    user_id      BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key          TEXT    NOT NULL,
    request_hash BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    status       INTEGER,
    body         BLOB,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;

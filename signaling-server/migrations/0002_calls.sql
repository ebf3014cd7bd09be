-- Calls: who with whom, when and how well. Never what was said, shown or signaled.

CREATE TABLE calls (
    id              BLOB    NOT NULL PRIMARY KEY,
    room_id         BLOB    NOT NULL,
    appointment_id  BLOB,
    caller_id       BLOB    NOT NULL REFERENCES users (id),
    caller_device   BLOB,
    callee_id       BLOB    NOT NULL REFERENCES users (id),
    -- The device it was answered on.
    callee_device   BLOB,
    call_type       TEXT    NOT NULL CHECK (call_type IN ('video', 'voice')),
    phase           TEXT    NOT NULL,
    end_reason      TEXT,
    initiated_at    INTEGER NOT NULL,
    ringing_at      INTEGER,
    accepted_at     INTEGER,
    connected_at    INTEGER,
    ended_at        INTEGER,
    duration_s      INTEGER NOT NULL DEFAULT 0,
    -- Empty: the devices are connected directly or through TURN.
    media_server    TEXT    NOT NULL DEFAULT '',
    -- JSON, written when the call is over and when late measurements arrive.
    quality_summary TEXT
) STRICT;
CREATE INDEX calls_by_caller ON calls (caller_id, initiated_at);
CREATE INDEX calls_by_callee ON calls (callee_id, initiated_at);
CREATE INDEX calls_by_time ON calls (initiated_at);
CREATE INDEX calls_live ON calls (id) WHERE phase NOT IN ('ended', 'failed', 'missed');

-- One row per device that took part in an answered call.
CREATE TABLE call_participants (
    call_id   BLOB    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    user_id   BLOB    NOT NULL REFERENCES users (id),
    device_id BLOB    NOT NULL,
    side      TEXT    NOT NULL CHECK (side IN ('caller', 'callee')),
    joined_at INTEGER NOT NULL,
    left_at   INTEGER,
    reason    TEXT,
    PRIMARY KEY (call_id, device_id)
) STRICT, WITHOUT ROWID;

-- Room tokens, as their SHA-256 only; bound to one user, device and call.
CREATE TABLE room_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    call_id    BLOB    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    user_id    BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id  BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX room_tokens_by_call ON room_tokens (call_id);

-- One second of one side of a call, as that side measured it.
CREATE TABLE call_quality (
    call_id                 BLOB    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    user_id                 BLOB    NOT NULL REFERENCES users (id),
    at                      INTEGER NOT NULL,
    rtt_ms                  REAL    NOT NULL,
    packet_loss             REAL    NOT NULL,
    jitter_ms               REAL    NOT NULL,
    available_bandwidth_bps INTEGER NOT NULL,
    audio_bitrate_bps       INTEGER NOT NULL,
    video_bitrate_bps       INTEGER NOT NULL,
    video_width             INTEGER NOT NULL,
    video_height            INTEGER NOT NULL,
    frame_rate              REAL    NOT NULL,
    freezes                 INTEGER NOT NULL,
    concealed_ms            INTEGER NOT NULL,
    jitter_buffer_ms        INTEGER NOT NULL,
    encode_ms               REAL    NOT NULL,
    decode_ms               REAL    NOT NULL,
    cpu_percent             REAL    NOT NULL,
    memory_bytes            INTEGER NOT NULL,
    -- 0 poor, 1 fair, 2 good, 3 excellent
    audio_quality           INTEGER NOT NULL,
    video_quality           INTEGER NOT NULL,
    -- A second that is sent twice is kept once.
    PRIMARY KEY (call_id, user_id, at)
) STRICT, WITHOUT ROWID;

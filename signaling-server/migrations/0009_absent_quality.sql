-- A second without sound or without picture has no class for it. Until now such a second counted as good.
CREATE TABLE call_quality_2 (
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
    -- 0 poor, 1 fair, 2 good, 3 excellent, absent where there was nothing to hear or to see
    audio_quality           INTEGER,
    video_quality           INTEGER,
    -- A second that is sent twice is kept once.
    PRIMARY KEY (call_id, user_id, at)
) STRICT, WITHOUT ROWID;
INSERT INTO call_quality_2 SELECT * FROM call_quality;
DROP TABLE call_quality;
ALTER TABLE call_quality_2 RENAME TO call_quality;

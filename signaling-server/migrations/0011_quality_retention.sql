-- The seconds of a call are deleted some time after its end; its summary stays, and no late second may replace it.
ALTER TABLE calls ADD COLUMN quality_swept INTEGER NOT NULL DEFAULT 0;
CREATE INDEX calls_with_quality ON calls (ended_at) WHERE quality_swept = 0 AND ended_at IS NOT NULL;

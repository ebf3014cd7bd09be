-- When a call ends at the latest; later than the longest call once a clinician has extended it. Calls of an older server
-- have none: what its settings say holds for them.
ALTER TABLE calls ADD COLUMN ends_at INTEGER;

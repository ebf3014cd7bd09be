-- What each token was issued for, so that an exchange whose answer was lost on the way can be repeated: until one of
-- the pair is used (`confirmed_at`), nobody has the answer but, at most, whoever asks again.
ALTER TABLE refresh_tokens ADD COLUMN exchanged_for BLOB;
ALTER TABLE refresh_tokens ADD COLUMN confirmed_at INTEGER;
UPDATE refresh_tokens SET confirmed_at = used_at;
CREATE INDEX refresh_tokens_by_exchanged_for ON refresh_tokens (exchanged_for);

ALTER TABLE access_tokens ADD COLUMN exchanged_for BLOB;
CREATE INDEX access_tokens_by_exchanged_for ON access_tokens (exchanged_for);

-- What the server makes up for itself and needs again after a restart. Readable: it makes passwords from it.
CREATE TABLE own_secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL
) STRICT, WITHOUT ROWID;

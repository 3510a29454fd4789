-- Enrolment: one-time tokens with which a server fetches its signing key. The token itself is not kept.
CREATE TABLE enrol_token (
    token_id   text PRIMARY KEY,               -- its public half
    server_id  text NOT NULL,
    digest     bytea NOT NULL CHECK (length(digest) = 32), -- SHA-256 of its secret half, 256 random bits
    renews     boolean NOT NULL,               -- the server has a key already and gets another
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,                  -- user@host
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    revoked_at timestamptz,
    used_at    timestamptz,
    used_from  text,                           -- address
    kid        text REFERENCES agent_key,      -- what it was exchanged for
    CHECK (num_nonnulls(used_at, used_from, kid) IN (0, 3)),
    CHECK (used_at IS NULL OR revoked_at IS NULL)
);
-- A server has one token that is open, and a new one ends it.
CREATE UNIQUE INDEX enrol_token_open ON enrol_token (server_id) WHERE used_at IS NULL AND revoked_at IS NULL;

INSERT INTO enrol_token (token_id, server_id, digest, renews, created_at, created_by, expires_at)
VALUES ('t', 's3', sha256('x'), false, now(), 'op@host', now() + interval '1 hour');

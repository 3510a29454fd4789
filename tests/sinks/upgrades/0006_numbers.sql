INSERT INTO number_outside (number, entity, kind, year, count, invoice_id, digest, account_id, period_start, scopes, certain)
VALUES ('RM-2026-000007', 'rm', 'invoice', 2026, 7, gen_random_uuid(), 'd', 'acme', '2026-02-01Z', '{a-1}', true);

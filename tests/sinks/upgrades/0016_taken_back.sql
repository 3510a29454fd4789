-- The credit of 0010 is given back in part, and drawn again.
INSERT INTO wallet_draw VALUES ('credit-1', 'TEST-2026-C000001', -15, '2026-05-02Z');
INSERT INTO wallet_draw VALUES ('credit-1', 'TEST-2026-000002', 5, '2026-05-02Z');
INSERT INTO close_outcome VALUES ('acme', 'EUR', '2026-02-01Z', '2026-03-01Z', now(), 'issued', 1, 9, '[]', '{}', true, 'TEST-2026-000001');

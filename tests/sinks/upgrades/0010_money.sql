INSERT INTO tax_profile VALUES ('acme', '[2026-01-01Z,)', 'reverse charge', 'half up', 'FR', 'FR40303265045', 'VIES WAPIAAAA', '2026-01-01Z',
                                'operator', '2026-01-01Z');
UPDATE tax_profile SET valid = '[2026-01-01Z,2026-09-01Z)';
INSERT INTO wallet_credit (credit_id, account_id, kind, currency, amount, granted_at, entered_by, entered_at)
SELECT 'credit-1', account_id, 'paid', 'EUR', 100, '2026-03-01Z', 'operator', '2026-03-01Z' FROM account LIMIT 1;
INSERT INTO wallet_draw VALUES ('credit-1', 'TEST-2026-000001', 40, '2026-04-02Z');
INSERT INTO journal_entry (kind, reference, at, account_id, currency)
SELECT 'payment', 'bank/1', '2026-04-09Z', account_id, 'EUR' FROM account LIMIT 1;
INSERT INTO journal_posting SELECT entry_id, 1, 'bank', 10, NULL::date, '' FROM journal_entry
UNION ALL SELECT entry_id, 2, 'receivable', -10, NULL, 'TEST-2026-000001' FROM journal_entry;
INSERT INTO wallet_threshold VALUES ('acme', 50, '2026-03-01Z', 'operator');

-- A close of one account, and since when it is billed; that of everybody is what the seals say.
INSERT INTO close_run (as_of, accounts, began_at, since, ended_at, outcomes)
VALUES ('2026-04-01Z', '{acme}', '2026-04-01T01:00Z', '2026-03-01Z', '2026-04-01T01:01Z', '{"issued": 1}');
UPDATE account SET billed_from = '2026-02-01' WHERE account_id = 'acme';

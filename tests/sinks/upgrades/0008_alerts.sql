UPDATE account SET mail_to = '{billing@bolt.example}', language = 'de';
INSERT INTO budget (account_id, most, percents, action, set_at, set_by)
SELECT account_id, 100, '{80,100}', 'cap', '2026-03-03Z', 'operator' FROM account LIMIT 1;
INSERT INTO budget_watch SELECT account_id, 'seen', '{}' FROM account LIMIT 1;

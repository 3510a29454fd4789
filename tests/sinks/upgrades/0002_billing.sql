-- Two customers, one server handed over between them, prices, accruals, an alert, and a month that is closed.
INSERT INTO catalog_version VALUES ('2026-01', '2026-01-01Z', 'd', 'version = "2026-01"', '2026-01-01Z');
INSERT INTO account (account_id, name, address, country, currency, timezone, webhook_url, webhook_secret) VALUES
    ('acme', 'Acme GmbH', '{Weg 1,10115 Berlin}', 'DE', 'EUR', 'Europe/Berlin', 'https://acme.example', '\x01'),
    ('bolt', 'Bolt SAS', '{}', 'FR', 'EUR', 'Pacific/Auckland', NULL, NULL);
INSERT INTO rating_scope VALUES ('a-1', 'acme'), ('b-1', 'bolt');
INSERT INTO item VALUES
    ('a-1', 'a-1', 'Server', 'small', '[2023-01-01Z,2026-03-01 10:02Z)'), ('b-1', 'b-1', 'Server', 'small', '[2026-03-01 10:02Z,)');
INSERT INTO assignment VALUES
    ('s1', 'a-1', '[2023-01-01Z,2026-03-01 10:02Z)', '2023-01-01Z'), ('s1', 'b-1', '[2026-03-01 10:02Z,)', '2026-03-01Z');
INSERT INTO item_price
SELECT item_id, 'rent', valid, '{"model": "hourly_cap"}', 'hosting', '2026-01', '', '2026-01-01Z' FROM item;
INSERT INTO item_interval VALUES ('a-1', 'maintenance', '[2026-02-01Z,2026-02-02Z)', 'disk', '2026-02-01Z');
INSERT INTO accrual (scope_id, period_start, period_end, as_of, inputs, next_eval_at)
VALUES ('b-1', '2026-03-01Z', '2026-04-01Z', '2026-03-02Z', '{"usage": []}', '2026-03-02 01:00Z');
INSERT INTO alert_outbox (alert_id, account_id, scope_id, period_start, threshold, limit_version, kind, body, sampled_at,
                          created_at, next_try_at)
VALUES ('msg_1', 'bolt', 'b-1', '2026-03-01Z', 'b-1/traffic/80%', 'v1', 'crossed', '{}', now(), now(), now());
INSERT INTO invoice_number VALUES ('rm', 'invoice', 2026, 2);
INSERT INTO invoice VALUES ('00000000-0000-0000-0000-0000000000f1', 'RM-2026-000001', 'invoice', 'rm', 'acme',
    '2026-02-01Z', '2026-03-01Z', 'EUR', 100, 19, 119, '2026-03-02Z', '{"number": "RM-2026-000001"}', 'digest');
INSERT INTO invoice_line VALUES ('00000000-0000-0000-0000-0000000000f1', 1, 'a-1/rent/2026-02', 100);
INSERT INTO scope_seal VALUES ('a-1', '2026-02-01Z', '2026-03-01Z', '2026-03-02Z', 'd', '00000000-0000-0000-0000-0000000000f1');
INSERT INTO invoice_cut SELECT '00000000-0000-0000-0000-0000000000f1', topic_id, part, next_offset FROM ingest_offset;
INSERT INTO close_outcome VALUES ('acme', 'EUR', '2026-02-01Z', '2026-03-01Z', now(), 'issued', 1, 9);

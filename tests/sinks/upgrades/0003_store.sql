-- What a store holds that has been maintained: a stale hour, and what was left of months that were dropped.
INSERT INTO usage_stale (server_id, hour) VALUES ('s1', '2023-05-30 22:00Z');
INSERT INTO account_usage_dropped VALUES ('acme', '2023-01-01', 'net.tx_bytes', 5);

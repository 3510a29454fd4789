-- Two servers of one topic that reported for a day and a half, three years ago and this year, and all that can happen
-- to them: a late entry, a former origin, anchors, refused reports, keys, a snapshot and a swap.
INSERT INTO ingest_topic VALUES ('00000000-0000-0000-0000-00000000000a', 'cluster', 'usage.reports', 2, 'LogAppendTime');
INSERT INTO ingest_offset (topic_id, part, next_offset, owner, epoch, append_ms, counts)
SELECT '00000000-0000-0000-0000-00000000000a', part, 900, gen_random_uuid(), 3, 1772500000000, '{"accepted": 890}'
FROM generate_series(0, 1) AS part;
INSERT INTO series_set (digest, meter, resource) VALUES
    ('\x01', '{net.tx_bytes,net.rx_bytes}', '{eth0,eth0}'),
    ('\x02', '{net.tx_bytes,gpu.ms}', '{eth0,GPU-1}');
INSERT INTO usage_window
SELECT server, day + k * interval '5 minutes', 1, ARRAY[1000 + k, 7 * k], 300000, part, 900
FROM (VALUES ('s1', 0), ('s2', 1)) AS servers (server, part),
     (VALUES (timestamptz '2023-05-30 22:00Z'), ('2026-03-01 00:00Z')) AS days (day), generate_series(0, 431) AS k;
INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)
VALUES ('s1', '2026-03-01 00:00Z', 2, '{50,9223372036854775807}', 0, 900, 'window finished');
INSERT INTO server_state (part, server_id, origin, since_ms, seq_hi, seen, at_ms, up_ms, set_id, last, absent, win_ms, open, cover_ms)
SELECT part, server, 'o2', 1772323200000, 432, '', 1772452800000, 129600000, 1,
       ARRAY[432 * 1000 + 432 * 431 / 2 + 11, 7 * 432 * 431 / 2 + 12], NULL, 1772452800000, '{11,12}', 1000
FROM (VALUES ('s1', 0), ('s2', 1)) AS servers (server, part);
INSERT INTO server_origin
SELECT server, 'o1', part, 1685484000000, 432, 1685613600000, 129600000, 1,
       ARRAY[432 * 1000 + 432 * 431 / 2, 7 * 432 * 431 / 2], NULL, 0
FROM (VALUES ('s1', 0), ('s2', 1)) AS servers (server, part);
INSERT INTO server_origin VALUES ('s1', 'o0', 0, 0, 1, 1, 1, 2, '{50,9223372036854775807}', '{"1": [0, 0]}', 0);
INSERT INTO reading_anchor
SELECT server, 'o2', '2026-03-01 00:00Z', 'opening', 1, 1, '{0,0}', '00000000-0000-0000-0000-00000000000a', part, 4
FROM (VALUES ('s1', 0), ('s2', 1)) AS servers (server, part);
INSERT INTO dead_letter (topic_id, part, "offset", reason, detail, key, payload, headers, append_ms)
SELECT '00000000-0000-0000-0000-00000000000a', 0, at, 'malformed', 'no JSON', 's1', '\x00ff', '[["kid", null]]', at
FROM generate_series(1, 20) AS at;
INSERT INTO agent_key VALUES ('k-s1', 's1', '\x01', 0, 4611686018427387904), ('k-s2', 's2', '\x01', 5, 6);
INSERT INTO ledger_snapshot DEFAULT VALUES;
INSERT INTO snapshot_offset SELECT 1, topic_id, part, next_offset, append_ms, counts FROM ingest_offset;
INSERT INTO snapshot_state SELECT 1, s.* FROM server_state s;
INSERT INTO snapshot_origin SELECT 1, o.* FROM server_origin o;
INSERT INTO ledger_swap (who, why, positions, changes, quantities) VALUES ('op', 'a bug', '{}', '{}', '[]');
INSERT INTO usage_dropped VALUES ('s1', 'cpu.ms', '', 0);

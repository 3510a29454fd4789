-- The ledger of tests/deploy/rented_fleet.py: servers, customers, windows, heads, what came late or was refused.

-- Server n: its kind, its customer, bytes a second at most. Every eighth has GPUs, the one after it MIG.
CREATE TABLE scene AS
SELECT n, 'srv-' || lpad(n::text, 4, '0') AS server_id, 'item-' || lpad(n::text, 4, '0') AS item_id,
       'acct-' || lpad((n %% %(accounts)s)::text, 3, '0') AS account_id,
       CASE n %% 8 WHEN 1 THEN 'gpu' WHEN 2 THEN 'mig' ELSE 'plain' END AS kind,
       (1 + n * 7 %% 11) * 4000000::bigint AS rate
FROM generate_series(0, %(servers)s - 1) AS n;

-- GPUs have names of their own, so their servers share no series.
INSERT INTO series_set (digest, meter, resource)
SELECT DISTINCT convert_to(CASE kind WHEN 'plain' THEN 'plain' ELSE server_id END, 'UTF8'),
       ARRAY['net.rx_bytes', 'net.tx_bytes', 'cpu.busy_ms', 'disk.used_mib_s'] || CASE kind
           WHEN 'gpu' THEN ARRAY['gpu.alloc_ms', 'gpu.busy_ms', 'gpu.alloc_ms', 'gpu.busy_ms',
                                 'gpu.alloc_ms', 'gpu.busy_ms', 'gpu.alloc_ms', 'gpu.busy_ms']
           WHEN 'mig' THEN array_fill('gpu.alloc_ms'::text, ARRAY[7]) ELSE '{}' END,
       ARRAY['eth0', 'eth0', '', '/'] || CASE kind
           WHEN 'gpu' THEN (SELECT array_agg('GPU-' || md5(server_id || g / 2) ORDER BY g) FROM generate_series(0, 7) g)
           WHEN 'mig' THEN (SELECT array_agg('MIG-' || md5(server_id || g) ORDER BY g) FROM generate_series(0, 6) g)
           ELSE '{}' END
FROM scene;
ALTER TABLE scene ADD set_id integer;
UPDATE scene SET set_id = s.set_id FROM series_set s
WHERE s.digest = convert_to(CASE kind WHEN 'plain' THEN 'plain' ELSE server_id END, 'UTF8');

INSERT INTO account (account_id, name, address, country, currency, timezone)
SELECT account_id, 'Customer ' || n || ' GmbH', ARRAY['Street 1'], 'DE', 'EUR',
       CASE WHEN n %% 2 = 0 THEN 'UTC' ELSE 'Europe/Berlin' END
FROM scene WHERE n < %(accounts)s;
INSERT INTO rating_scope SELECT item_id, account_id FROM scene;
INSERT INTO item SELECT item_id, item_id, 'AX server ' || n, 'ax-hourly', tstzrange(%(start)s, NULL) FROM scene;
INSERT INTO assignment SELECT server_id, item_id, tstzrange(%(start)s, NULL), %(start)s FROM scene;

-- A window holds what the time of day, the server and a hash of both say; one in forty is a burst.
INSERT INTO usage_window
SELECT server_id, at, set_id,
       ARRAY[(sent * 0.4)::bigint, sent, 90000 + h * 150, 300 * (200000 + n * 1000)] || CASE kind
           WHEN 'gpu' THEN ARRAY[300000, 180000 + h * 100, 300000, 9000, day * 300000, day * 220000, 0, 0]::bigint[]
           WHEN 'mig' THEN ARRAY[300000, 300000, 300000, day * 300000, day * 300000, 0, 0]::bigint[]
           ELSE '{}' END,
       300000, 0, 1000
FROM (
    SELECT s.*, at, h, (extract(hour FROM at) BETWEEN 8 AND 19)::int AS day,
           (rate * 300 * (0.55 + 0.45 * sin(extract(epoch FROM at) / 43200 * pi() - 2))
            * (0.7 + h / 1700.0) * CASE WHEN h %% 40 = 7 THEN 4 ELSE 1 END)::bigint AS sent
    FROM scene s
    CROSS JOIN LATERAL (
        SELECT at, abs(hashint8(n * 1000003 + extract(epoch FROM at)::bigint / 300)::bigint) %% 1000 AS h
        FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '5 minutes',
                             interval '5 minutes') AS at
    ) w
    WHERE n %% 12 <> 11                                                               -- never reported
      AND NOT (n %% 12 = 7 AND at >= %(end)s::timestamptz - interval '95 minutes')    -- fell silent
      AND NOT (n %% 12 = 5 AND extract(hour FROM at) IN (2, 3) AND h < 600)           -- with holes
) w;

-- Heads: what the windows sum to, and the last reading, two seconds into the next window.
INSERT INTO server_state
SELECT 0, server_id, 'boot-1', since_ms, readings, '', last_ms, last_ms - since_ms, set_id, sums, NULL,
       last_ms - last_ms %% 300000, array_fill(0::bigint, ARRAY[cardinality(sums)]), 0,
       CASE WHEN n %% 12 = 5 THEN 'clock' ELSE '' END
FROM (
    SELECT server_id, set_id, array_agg(total ORDER BY ix) AS sums
    FROM (
        SELECT server_id, set_id, ix, sum(q)::bigint AS total
        FROM usage_window CROSS JOIN LATERAL unnest(qty) WITH ORDINALITY AS u (q, ix)
        WHERE %(settled)s GROUP BY 1, 2, 3
        UNION ALL
        SELECT s.server_id, s.set_id, i.ix, 0
        FROM scene s JOIN series_set t USING (set_id) CROSS JOIN LATERAL generate_subscripts(t.meter, 1) AS i (ix)
        WHERE NOT %(settled)s AND n %% 12 <> 11
    ) s GROUP BY 1, 2
) sums
JOIN (
    SELECT server_id, count(*) AS readings, extract(epoch FROM %(start)s::timestamptz)::bigint * 1000 AS since_ms,
           extract(epoch FROM max(window_start))::bigint * 1000 + 302000 AS last_ms
    FROM usage_window GROUP BY 1
) seen USING (server_id)
JOIN scene USING (server_id, set_id);

INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)
SELECT server_id, %(end)s::timestamptz - interval '1 hour' * (k * 3), set_id,
       array_fill(0::bigint, ARRAY[cardinality(t.meter)]), 0, 1000, (ARRAY['clock', 'tail', 'absent'])[1 + k %% 3]
FROM scene JOIN series_set t USING (set_id), generate_series(1, 5) AS k
WHERE n %% 4 = 0;

INSERT INTO dead_letter (topic_id, part, "offset", reason, detail, key, payload, headers, append_ms)
SELECT %(topic)s, k %% 2, k,
       (ARRAY['unknown_key', 'unknown_key', 'unknown_key', 'malformed', 'regression'])[1 + k %% 5],
       'What is wrong with it, and what to do.', 'srv-0003', 'the report as it came', '[]',
       extract(epoch FROM %(end)s::timestamptz)::bigint * 1000 - (k * k %% 1440) * 60000
FROM generate_series(1, 90) AS k;

UPDATE ingest_offset SET counts = jsonb_build_object('accepted', 40000 + part, 'duplicate', 12, 'late', 3,
    'unknown_key', 27, 'malformed', 9, 'regression', 9);

-- Every row of the ledger in spans of servers, by series, with the checkpoint that wrote it. Open windows are those
-- that these looks at sealed scopes counted.
WITH part AS (
    SELECT * FROM unnest(%(server)s::text[], %(start)s::timestamptz[], %(end)s::timestamptz[]) AS p (server_id, low, high)
), metered AS (
    SELECT 'window' AS source, u.server_id, u.window_start, u.set_id, u.qty, u.covered_ms, u.part, u.ckpt_offset
    FROM part p
    JOIN usage_window u ON u.server_id = p.server_id AND u.window_start >= p.low AND u.window_start < p.high
    UNION ALL
    SELECT 'late', l.server_id, l.window_start, l.set_id, l.qty, 0, l.part, l.ckpt_offset
    FROM part p
    JOIN usage_late l ON l.server_id = p.server_id AND l.window_start >= p.low AND l.window_start < p.high
    UNION ALL
    SELECT DISTINCT 'open', o.server_id, o.window_start, o.set_id, o.qty, o.covered_ms, o.part, NULL::bigint
    FROM part p
    JOIN seal_open o ON o.server_id = p.server_id AND o.window_start >= p.low AND o.window_start < p.high
    JOIN unnest(%(scopes)s::text[], %(periods)s::timestamptz[], %(looks)s::int[]) AS k (scope_id, period_start, look)
      USING (scope_id, period_start, look)
)
SELECT m.source, m.server_id, n.meter, n.resource, m.window_start, m.qty[n.ix], m.covered_ms,
       coalesce(i.topic_id::text, ''), m.part, coalesce(m.ckpt_offset & ((1::bigint << %(bits)s) - 1), 0)
FROM metered m
LEFT JOIN ingest_topic i ON i.number = m.ckpt_offset >> %(bits)s
CROSS JOIN LATERAL (
    SELECT s.meter, s.resource, s.ix
    FROM series_set t, unnest(t.meter, t.resource) WITH ORDINALITY AS s (meter, resource, ix)
    WHERE t.set_id = m.set_id AND s.meter = ANY(%(meters)s)
) n
ORDER BY 2, 3, 4, 5, 1, 9, 10

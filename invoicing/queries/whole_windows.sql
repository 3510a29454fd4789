-- Windows that lie entirely inside a part of a line, summed by series and local day. With a cut, what lies above it
-- is left out, and open windows are taken as they were counted then.
WITH part (line, server_id, low, high) AS (
    SELECT * FROM unnest(%(line)s::int[], %(server)s::text[], %(start)s::timestamptz[], %(end)s::timestamptz[])
), upto (part, number, at) AS (
    SELECT c.part, t.number, max((t.number::bigint << %(bits)s) + c.next_offset)
    FROM unnest(%(cut_topics)s::uuid[], %(cut_parts)s::int[], %(cut_offsets)s::bigint[]) AS c (topic_id, part, next_offset)
    JOIN ingest_topic t USING (topic_id) GROUP BY 1, 2
), metered AS (
    SELECT p.line, u.server_id, u.window_start, u.set_id, u.qty, u.covered_ms
    FROM part p
    JOIN usage_window u
      ON u.server_id = p.server_id AND u.window_start >= p.low AND u.window_start < p.high
    WHERE NOT %(is_cut)s OR EXISTS (
        SELECT FROM upto c WHERE c.part = u.part AND c.number = u.ckpt_offset >> %(bits)s AND u.ckpt_offset <= c.at)
    UNION ALL
    SELECT p.line, l.server_id, l.window_start, l.set_id, l.qty, 0
    FROM part p
    JOIN usage_late l
      ON l.server_id = p.server_id AND l.window_start >= p.low AND l.window_start < p.high
    WHERE NOT %(is_cut)s OR EXISTS (
        SELECT FROM upto c WHERE c.part = l.part AND c.number = l.ckpt_offset >> %(bits)s AND l.ckpt_offset <= c.at)
    UNION ALL
    SELECT p.line, s.server_id, to_timestamp(s.win_ms / 1000), s.set_id, s.open, s.cover_ms
    FROM part p
    JOIN server_state s
      ON s.server_id = p.server_id
     AND to_timestamp(s.win_ms / 1000) >= p.low AND to_timestamp(s.win_ms / 1000) < p.high
    WHERE NOT %(is_cut)s
    UNION ALL
    SELECT p.line, o.server_id, o.window_start, o.set_id, o.qty, o.covered_ms
    FROM part p
    JOIN seal_open o ON o.server_id = p.server_id AND o.window_start >= p.low AND o.window_start < p.high
    WHERE %(is_cut)s AND (o.scope_id, o.period_start, o.look) = (%(scope)s, (%(days)s::timestamptz[])[1], %(look)s)
), named AS MATERIALIZED ( -- a set is taken apart once, not for each window
    SELECT t.set_id, s.meter, s.resource, s.ix
    FROM series_set t CROSS JOIN LATERAL unnest(t.meter, t.resource) WITH ORDINALITY AS s (meter, resource, ix)
    WHERE t.set_id IN (SELECT set_id FROM metered) AND s.meter = ANY(%(meters)s)
)
SELECT m.line, m.server_id, n.meter, n.resource,
       width_bucket(m.window_start, %(days)s::timestamptz[]) - 1 AS day,
       sum(m.qty[n.ix]::numeric), count(DISTINCT m.window_start),
       min(m.window_start), max(m.window_start), sum(m.covered_ms)
FROM metered m JOIN named n USING (set_id)
GROUP BY 1, 2, 3, 4, 5

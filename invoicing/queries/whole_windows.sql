-- Windows that lie entirely inside a part of a line, summed by series and local day: the days, and what each comes to.
-- With a cut, what lies above it is left out, and open windows are taken as they were counted then.
WITH part AS (
    SELECT * FROM unnest(%(line)s::int[], %(server)s::text[], %(start)s::timestamptz[], %(end)s::timestamptz[])
         WITH ORDINALITY AS p (line, server_id, low, high, no)
), upto (part, number, at) AS (
    SELECT c.part, t.number, max((t.number::bigint << %(bits)s) + c.next_offset)
    FROM unnest(%(cut_topics)s::uuid[], %(cut_parts)s::int[], %(cut_offsets)s::bigint[]) AS c (topic_id, part, next_offset)
    JOIN ingest_topic t USING (topic_id) GROUP BY 1, 2
), metered AS MATERIALIZED (
    SELECT p.no, u.*
    FROM part p
    CROSS JOIN LATERAL ( -- by index, whatever is known of how many rows there are
        SELECT w.window_start, w.set_id, w.qty, w.covered_ms FROM usage_window w
        WHERE w.server_id = p.server_id AND w.window_start >= p.low AND w.window_start < p.high
          AND (NOT %(is_cut)s OR EXISTS (
            SELECT FROM upto c
            WHERE c.part = w.part AND c.number = w.ckpt_offset >> %(bits)s AND w.ckpt_offset <= c.at))
        UNION ALL
        SELECT l.window_start, l.set_id, l.qty, 0 AS covered_ms FROM usage_late l
        WHERE l.server_id = p.server_id AND l.window_start >= p.low AND l.window_start < p.high
          AND (NOT %(is_cut)s OR EXISTS (
            SELECT FROM upto c
            WHERE c.part = l.part AND c.number = l.ckpt_offset >> %(bits)s AND l.ckpt_offset <= c.at))
        UNION ALL
        SELECT to_timestamp(s.win_ms / 1000), s.set_id, s.open, s.cover_ms FROM server_state s
        WHERE NOT %(is_cut)s AND s.server_id = p.server_id
          AND to_timestamp(s.win_ms / 1000) >= p.low AND to_timestamp(s.win_ms / 1000) < p.high
        UNION ALL
        SELECT o.window_start, o.set_id, o.qty, o.covered_ms FROM seal_open o
        WHERE %(is_cut)s AND o.server_id = p.server_id AND o.window_start >= p.low AND o.window_start < p.high
          AND (o.scope_id, o.period_start, o.look) = (%(scope)s, (%(days)s::timestamptz[])[1], %(look)s)
        OFFSET 0
    ) u
), named AS MATERIALIZED ( -- a set is taken apart once, not for each window
    SELECT t.set_id, s.meter, s.resource, s.ix, dense_rank() OVER (ORDER BY s.meter, s.resource) AS series
    FROM series_set t CROSS JOIN LATERAL unnest(t.meter, t.resource) WITH ORDINALITY AS s (meter, resource, ix)
    WHERE t.set_id IN (SELECT DISTINCT set_id FROM metered) AND s.meter = ANY(%(meters)s)
), summed AS (
    SELECT m.no, n.series, width_bucket(m.window_start, %(days)s::timestamptz[]) - 1 AS day,
           sum(m.qty[n.ix]) AS quantity, count(DISTINCT m.window_start) AS windows,
           min(m.window_start) AS first, max(m.window_start) AS last, sum(m.covered_ms) AS covered_ms
    FROM metered m JOIN named n USING (set_id)
    GROUP BY 1, 2, 3
), whole AS (
    SELECT no, series, array_agg(day) AS days, array_agg(quantity) AS quantities, sum(windows) AS windows,
           min(first) AS first, max(last) AS last, sum(covered_ms) AS covered_ms
    FROM summed GROUP BY 1, 2
)
SELECT p.line, p.server_id, n.meter, n.resource, w.days, w.quantities, w.windows, w.first, w.last, w.covered_ms
FROM whole w JOIN part p USING (no) JOIN (SELECT DISTINCT series, meter, resource FROM named) n USING (series)

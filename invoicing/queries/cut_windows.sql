-- Windows that an edge cuts, split by overlap with the largest remainder (ties: the earlier part), first at
-- hand-overs, then at price changes. div and mod of numeric are exact; W is the window in microseconds.
WITH piece (charge, line, server_id, window_start, outer_no, outer_us, inner_no, inner_us) AS (
    SELECT * FROM unnest(
        %(charge)s::int[], %(line)s::int[], %(server)s::text[], %(window)s::timestamptz[],
        %(outer)s::int[], %(outer_us)s::numeric[], %(inner)s::int[], %(inner_us)s::numeric[])
), upto (part, number, at) AS (
    SELECT c.part, t.number, max((t.number::bigint << %(bits)s) + c.next_offset)
    FROM unnest(%(cut_topics)s::uuid[], %(cut_parts)s::int[], %(cut_offsets)s::bigint[]) AS c (topic_id, part, next_offset)
    JOIN ingest_topic t USING (topic_id) GROUP BY 1, 2
), wanted AS (
    SELECT DISTINCT server_id, window_start FROM piece
), metered AS (
    SELECT u.* FROM wanted w
    JOIN LATERAL (
        SELECT server_id, window_start, set_id, qty, covered_ms FROM usage_window u
        WHERE server_id = w.server_id AND window_start = w.window_start AND (NOT %(is_cut)s OR EXISTS (
            SELECT FROM upto c WHERE c.part = u.part AND c.number = u.ckpt_offset >> %(bits)s AND u.ckpt_offset <= c.at))
        UNION ALL
        SELECT server_id, window_start, set_id, qty, 0 FROM usage_late l
        WHERE server_id = w.server_id AND window_start = w.window_start AND (NOT %(is_cut)s OR EXISTS (
            SELECT FROM upto c WHERE c.part = l.part AND c.number = l.ckpt_offset >> %(bits)s AND l.ckpt_offset <= c.at))
        UNION ALL
        SELECT server_id, to_timestamp(win_ms / 1000), set_id, open, cover_ms FROM server_state
        WHERE NOT %(is_cut)s AND server_id = w.server_id AND to_timestamp(win_ms / 1000) = w.window_start
        UNION ALL
        SELECT server_id, window_start, set_id, qty, covered_ms FROM seal_open
        WHERE %(is_cut)s AND server_id = w.server_id AND window_start = w.window_start
          AND (scope_id, period_start, look) = (%(scope)s, (%(days)s::timestamptz[])[1], %(look)s)
    ) u ON true
), quantity AS (
    SELECT m.server_id, m.window_start, n.meter, n.resource,
           sum(m.qty[n.ix]::numeric) AS total, sum(m.covered_ms)::numeric AS covered_ms
    FROM metered m
    CROSS JOIN LATERAL (
        SELECT s.meter, s.resource, s.ix
        FROM series_set t, unnest(t.meter, t.resource) WITH ORDINALITY AS s (meter, resource, ix)
        WHERE t.set_id = m.set_id AND s.meter = ANY(%(meters)s)
    ) n
    GROUP BY 1, 2, 3, 4
), outer_piece AS (
    SELECT DISTINCT p.charge, p.server_id, p.window_start, p.outer_no, p.outer_us,
           q.meter, q.resource, q.total, q.covered_ms,
           sum(p.inner_us) OVER (PARTITION BY p.charge, q.server_id, q.window_start, q.meter, q.resource) AS w
    FROM piece p JOIN quantity q USING (server_id, window_start)
), outer_floor AS (
    SELECT *, mod(mod(total * outer_us, w) + w, w) AS rest FROM outer_piece
), outer_share AS (
    SELECT *, div(total * outer_us - rest, w)
              + (row_number() OVER series_by_rest
                 <= total - sum(div(total * outer_us - rest, w)) OVER series)::int AS share
    FROM outer_floor
    WINDOW series AS (PARTITION BY charge, server_id, window_start, meter, resource),
           series_by_rest AS (series ORDER BY rest DESC, outer_no)
), inner_floor AS (
    SELECT p.*, o.meter, o.resource, o.share, o.covered_ms, o.w,
           mod(mod(o.share * p.inner_us, p.outer_us) + p.outer_us, p.outer_us) AS rest
    FROM piece p JOIN outer_share o USING (charge, server_id, window_start, outer_no)
), inner_share AS (
    SELECT *, div(share * inner_us - rest, outer_us)
              + (row_number() OVER outer_by_rest
                 <= share - sum(div(share * inner_us - rest, outer_us)) OVER outer_part)::int AS part
    FROM inner_floor
    WINDOW outer_part AS (PARTITION BY charge, server_id, window_start, meter, resource, outer_no),
           outer_by_rest AS (outer_part ORDER BY rest DESC, inner_no)
)
SELECT line, server_id, meter, resource,
       ARRAY[width_bucket(window_start, %(days)s::timestamptz[]) - 1] AS days,
       ARRAY[sum(part)], count(DISTINCT window_start), min(window_start), max(window_start),
       sum(div(covered_ms * inner_us, w))
FROM inner_share
WHERE line >= 0
GROUP BY 1, 2, 3, 4, 5

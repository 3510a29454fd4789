-- Readings kept around a part of a line, by series: of each origin the last one before it, or its first in it, and its
-- last.
WITH part (line, server_id, low, high) AS (
    SELECT * FROM unnest(%(line)s::int[], %(server)s::text[], %(start)s::timestamptz[], %(end)s::timestamptz[])
), kept AS (
    SELECT p.line, a.server_id, n.meter, n.resource,
           a.origin, a.at, a.kind, a.seq, a.value[n.ix], a.topic_id::text, a.part, a."offset",
           row_number() OVER series AS n, lead(a.seq) OVER series IS NULL AS is_last
    FROM part p
    JOIN reading_anchor a ON a.server_id = p.server_id AND a.at < p.high
     AND a.at >= coalesce((
            SELECT max(b.at) FROM reading_anchor b
            WHERE b.server_id = a.server_id AND b.origin = a.origin AND b.at <= p.low), p.low)
    CROSS JOIN LATERAL (
        SELECT s.meter, s.resource, s.ix
        FROM series_set t, unnest(t.meter, t.resource) WITH ORDINALITY AS s (meter, resource, ix)
        WHERE t.set_id = a.set_id
    ) n
    WINDOW series AS (PARTITION BY p.line, a.server_id, n.meter, n.resource, a.origin ORDER BY a.at, a.seq)
)
SELECT line, server_id, meter, resource, origin, at, kind, seq, value, topic_id, part, "offset"
FROM kept WHERE n = 1 OR is_last
ORDER BY line, server_id, meter, resource, at, seq

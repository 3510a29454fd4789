-- Readings kept around a part of a line, by series: of each origin the last one before it, or its first in it, and its
-- last. Of readings that show the same series only the first and the last can be either, so few are taken apart.
WITH part AS (
    SELECT * FROM unnest(%(line)s::int[], %(server)s::text[], %(start)s::timestamptz[], %(end)s::timestamptz[])
         AS p (line, server_id, low, high)
), kept AS (
    SELECT p.line, p.server_id, a.*
    FROM part p
    CROSS JOIN LATERAL (
        SELECT o.origin, r.set_id, min(r.at) AS first_at, max(r.at) AS last_at
        FROM (
            SELECT origin, max(at) FILTER (WHERE at <= p.low) AS before
            FROM reading_anchor WHERE server_id = p.server_id AND at < p.high GROUP BY 1
        ) o
        JOIN reading_anchor r
          ON r.server_id = p.server_id AND r.origin = o.origin AND r.at >= coalesce(o.before, p.low) AND r.at < p.high
        GROUP BY 1, 2
    ) a
), shown AS (
    SELECT k.line, k.server_id, n.meter, n.resource,
           a.origin, a.at, a.kind, a.seq, a.value[n.ix], a.topic_id::text, a.part, a."offset",
           row_number() OVER series AS n, lead(a.seq) OVER series IS NULL AS is_last
    FROM kept k
    CROSS JOIN LATERAL (
        SELECT r.* FROM reading_anchor r
        WHERE r.server_id = k.server_id AND r.origin = k.origin AND r.set_id = k.set_id AND r.at IN (k.first_at, k.last_at)
        OFFSET 0
    ) a
    CROSS JOIN LATERAL (
        SELECT s.meter, s.resource, s.ix
        FROM series_set t, unnest(t.meter, t.resource) WITH ORDINALITY AS s (meter, resource, ix)
        WHERE t.set_id = a.set_id AND s.meter = ANY(%(meters)s)
    ) n
    WINDOW series AS (PARTITION BY k.line, k.server_id, n.meter, n.resource, a.origin ORDER BY a.at, a.seq)
)
SELECT line, server_id, meter, resource, origin, at, kind, seq, value, topic_id, part, "offset"
FROM shown WHERE n = 1 OR is_last
ORDER BY line, server_id, meter, resource, at, seq

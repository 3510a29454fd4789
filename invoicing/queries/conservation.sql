-- Every chain of these servers: what its windows sum to and its highest reading. The law of the view
-- conservation_violation, for some servers, and summed before names are looked up, which is several times as quick.
WITH windows AS (
    SELECT s.server_id, t.meter[s.ix] AS meter, t.resource[s.ix] AS resource, sum(s.quantity) AS quantity
    FROM (
        SELECT u.server_id, u.set_id, q.ix, sum(q.quantity) AS quantity
        FROM usage_row u CROSS JOIN LATERAL unnest(u.qty) WITH ORDINALITY AS q (quantity, ix)
        WHERE u.server_id = ANY(%(servers)s) GROUP BY 1, 2, 3
    ) s
    JOIN series_set t USING (set_id)
    GROUP BY 1, 2, 3
), kept_and_dropped AS (
    SELECT server_id, meter, resource, sum(quantity) AS quantity
    FROM (
        TABLE windows
        UNION ALL
        SELECT server_id, meter, resource, quantity FROM usage_dropped WHERE server_id = ANY(%(servers)s)
    ) every
    GROUP BY 1, 2, 3
), readings AS (
    SELECT server_id, meter, resource, sum(reading) AS reading FROM chain
    WHERE server_id = ANY(%(servers)s) GROUP BY 1, 2, 3
)
SELECT server_id, meter, resource, coalesce(w.quantity, 0), coalesce(r.reading, 0)
FROM kept_and_dropped w FULL JOIN readings r USING (server_id, meter, resource)
ORDER BY 1, 2, 3

-- GPUs that were held for an hour or more and worked less than 5 % of it: paid for, not used.
WITH gpu AS (
    SELECT server_id, resource, sum(qty[ix]) FILTER (WHERE meter = 'gpu.alloc_ms') / 3600000 AS held,
           coalesce(sum(qty[ix]) FILTER (WHERE meter = 'gpu.busy_ms'), 0) / 3600000 AS busy
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    JOIN series USING (set_id)
    WHERE at >= $__timeFrom() AND at < $__timeTo() AND meter IN ('gpu.busy_ms', 'gpu.alloc_ms')
      AND resource NOT LIKE 'MIG-%'
    GROUP BY 1, 2
)
SELECT g.resource AS gpu, g.server_id AS server, s.account_id AS account, round(held, 1) AS held,
       round(busy, 1) AS busy, round(100 * busy / held, 1) AS share
FROM gpu g
LEFT JOIN assignment a ON a.server_id = g.server_id AND a.valid @> least($__timeTo()::timestamptz, now())
LEFT JOIN item i USING (item_id)
LEFT JOIN rating_scope s USING (scope_id)
WHERE held >= 1 AND busy < held / 20
ORDER BY held DESC, gpu
LIMIT 50

-- MIG instances by server: how many there were, and the share of the time in which they were held.
SELECT server_id AS server, count(DISTINCT resource) AS instances, round(sum(qty[ix]) / 3600000, 1) AS held,
       round(100 * sum(qty[ix]) / count(DISTINCT resource)
           / (1000 * extract(epoch FROM least($__timeTo()::timestamptz, now()) - $__timeFrom()::timestamptz)), 1)
           AS share
FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
JOIN series USING (set_id)
WHERE at >= $__timeFrom() AND at < $__timeTo() AND meter = 'gpu.alloc_ms' AND resource LIKE 'MIG-%'
GROUP BY 1
ORDER BY held DESC, server
LIMIT 50

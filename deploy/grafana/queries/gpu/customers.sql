-- GPU-hours held, by customer; an hour (or UTC day) belongs to whoever rented as it began.
SELECT coalesce(s.account_id, 'nobody') AS account, round(sum(qty[ix]) / 3600000, 1) AS "held"
FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
JOIN series USING (set_id)
LEFT JOIN assignment a ON a.server_id = u.server_id AND a.valid @> u.at
LEFT JOIN item i USING (item_id)
LEFT JOIN rating_scope s USING (scope_id)
WHERE u.at >= $__timeFrom() AND u.at < $__timeTo() AND meter = 'gpu.alloc_ms'
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT 15

-- Servers that used most of one meter in the time shown, and who rents them now.
WITH total AS (
    SELECT server_id, sum(qty[ix]) AS used
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    JOIN series USING (set_id)
    WHERE meter = ${meter:sqlstring} AND at >= $__timeFrom() AND at < $__timeTo()
    GROUP BY 1
), top AS (
    SELECT server_id, used, 100 * used / nullif(sum(used) OVER (), 0) AS share
    FROM total
    ORDER BY used DESC, server_id
    LIMIT 15
)
SELECT server_id AS server, s.account_id AS account,
       CASE
           WHEN ${meter:sqlstring} LIKE '%_bytes' THEN round(used / 1e12, 3) || ' TB'
           WHEN ${meter:sqlstring} LIKE '%_mib_s' THEN round(used / (1048576 * 730 * 3600.0), 3) || ' TiB-months'
           WHEN ${meter:sqlstring} LIKE '%_ms' THEN round(used / 3600000, 1) || ' h'
           ELSE used::text
       END AS used,
       round(share, 2) AS share
FROM top
LEFT JOIN assignment a USING (server_id)
LEFT JOIN item i USING (item_id)
LEFT JOIN rating_scope s USING (scope_id)
WHERE a.valid IS NULL OR a.valid @> least($__timeTo()::timestamptz, now())
ORDER BY top.used DESC, server_id

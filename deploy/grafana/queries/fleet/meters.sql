-- What was used of each meter in the time shown, and how that compares with as long a time before it. Summed before
-- names are looked up: several times as quick.
WITH place AS (
    SELECT set_id, ix, sum(q) FILTER (WHERE at >= $__timeFrom()) AS used,
           sum(q) FILTER (WHERE at < $__timeFrom()) AS before
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    CROSS JOIN LATERAL unnest(qty) WITH ORDINALITY AS n (q, ix)
    WHERE at >= $__timeFrom()::timestamptz - ($__timeTo()::timestamptz - $__timeFrom()::timestamptz)
      AND at < $__timeTo()
    GROUP BY 1, 2
), total AS (
    SELECT meter, sum(used) AS used, sum(before) AS before FROM place JOIN series USING (set_id, ix) GROUP BY 1
)
SELECT meter,
       CASE
           WHEN meter LIKE '%_bytes' THEN round(used / 1e12, 3) || ' TB'
           WHEN meter LIKE '%_mib_s' THEN round(used / (1048576 * 730 * 3600.0), 3) || ' TiB-months'
           WHEN meter LIKE '%_ms' THEN round(used / 3600000, 1) || ' h'
           ELSE used::text
       END AS used,
       round(100 * used / nullif(before, 0) - 100, 1) AS change
FROM total
ORDER BY meter

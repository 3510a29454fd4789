-- What was used of each meter in the time shown, and how that compares with as long a time before it.
WITH total AS (
    SELECT meter, sum(qty[ix]) FILTER (WHERE at >= $__timeFrom()) AS used,
           sum(qty[ix]) FILTER (WHERE at < $__timeFrom()) AS before
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    JOIN series USING (set_id)
    WHERE at >= $__timeFrom()::timestamptz - ($__timeTo()::timestamptz - $__timeFrom()::timestamptz)
      AND at < $__timeTo()
    GROUP BY 1
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

-- Share of each finished hour (or UTC day) that was observed, of the 25 rented servers observed least.
WITH width AS (
    SELECT CASE '$grain' WHEN 'usage_day_row' THEN interval '1 day' ELSE interval '1 hour' END AS w
), bucket AS (
    SELECT generate_series(rm_bucket(w, $__timeFrom()) + w,
                           rm_bucket(w, least($__timeTo()::timestamptz, now())) - w, w) AS at
    FROM width
), total AS (
    SELECT server_id, sum(covered_ms::integer) AS ms
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    WHERE at >= $__timeFrom() AND at < $__timeTo()
    GROUP BY 1
), worst AS MATERIALIZED (
    SELECT server_id
    FROM (SELECT DISTINCT server_id FROM assignment
          WHERE valid && tstzrange($__timeFrom(), $__timeTo())) a
    LEFT JOIN total USING (server_id)
    ORDER BY coalesce(ms, 0), server_id
    LIMIT 25
), observed AS (
    SELECT server_id, at, sum(covered_ms) AS ms
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    WHERE at >= $__timeFrom() AND at < $__timeTo()
      AND server_id = ANY (ARRAY(SELECT server_id FROM worst))
    GROUP BY 1, 2
)
SELECT at AS time, server_id AS metric,
       100 * coalesce(ms, 0) / (1000 * extract(epoch FROM w)) AS value
FROM width, bucket
CROSS JOIN worst
LEFT JOIN observed USING (server_id, at)
ORDER BY 1, 2

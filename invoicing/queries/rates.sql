-- The rate of each line that a percentile is billed on, once more from the ledger: of the windows owned, so
-- many of the highest are passed over; the next one counts. Nothing measured is a rate of 0.
WITH wanted AS (
    SELECT * FROM unnest(
        %(no)s::int[], %(percent)s::int[], %(take)s::text[], %(zero)s::boolean[], %(owned)s::int[]
    ) AS w (no, percent, take, zero, owned)
), part AS (
    SELECT * FROM unnest(
        %(of)s::int[], %(server)s::text[], %(meter)s::text[], %(low)s::timestamptz[], %(high)s::timestamptz[]
    ) AS p (no, server_id, meter, low, high)
), measured AS (
    SELECT p.no, u.window_start, p.meter, sum(u.qty[n.ix]) AS value
    FROM part p
    JOIN usage_row u ON u.server_id = p.server_id AND u.window_start >= p.low AND u.window_start < p.high
    JOIN series_set t ON t.set_id = u.set_id
    CROSS JOIN LATERAL unnest(t.meter) WITH ORDINALITY AS n (meter, ix)
    WHERE n.meter = p.meter
    GROUP BY 1, 2, 3
), taken AS (
    SELECT no, CASE take WHEN 'max of p95' THEN meter END AS meter, window_start,
           CASE take WHEN 'p95 of max' THEN max(value) ELSE sum(value) END AS value
    FROM measured JOIN wanted USING (no)
    GROUP BY no, take, 2, window_start
), ranked AS (
    SELECT no, value, row_number() OVER (PARTITION BY no, meter ORDER BY value DESC) AS place,
           count(*) OVER (PARTITION BY no, meter) AS n
    FROM taken
)
SELECT no, coalesce(max(value) FILTER (
    WHERE place = (100 - percent) * CASE WHEN zero THEN owned ELSE n END / 100 + 1
), 0)
FROM wanted LEFT JOIN ranked USING (no)
GROUP BY no ORDER BY no

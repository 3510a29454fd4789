-- Use of the charges with an allowance, hour by hour, summed over the account's items in the billing unit; what is
-- included; and where it ends if it goes on as so far. An hour belongs to whoever rented as it began.
WITH charge AS (
    SELECT charge || ', ' || unit AS name, min(period_start) AS low, max(period_end) AS high,
           max(as_of) AS as_of, sum(used / unit_size) AS used, sum(included / unit_size) AS included,
           sum(used / unit_size * extract(epoch FROM least(period_end, upper(valid)) - began)
               / greatest(extract(epoch FROM as_of - began), 3600)) AS ends
    FROM account_charge
    JOIN item USING (item_id)
    CROSS JOIN LATERAL greatest(period_start, lower(valid)) AS began
    WHERE account_id = ${account:sqlstring} AND period_start = nullif(${period:sqlstring}, '')::timestamptz
      AND included > 0
    GROUP BY 1
), priced AS (
    SELECT p.charge || ', ' || (unit->>'name') AS name, a.server_id, m.meter,
           (unit->>'is')::numeric AS size, a.valid * p.valid AS valid
    FROM rating_scope s
    JOIN item i USING (scope_id)
    JOIN item_price p USING (item_id)
    JOIN assignment a USING (item_id)
    CROSS JOIN LATERAL jsonb_path_query_first(p.price, 'strict $.**.unit') AS unit
    CROSS JOIN LATERAL jsonb_path_query(p.price, 'strict $.**.meters[*]') AS metered
    CROSS JOIN LATERAL (SELECT metered #>> '{}') AS m (meter)
    WHERE s.account_id = ${account:sqlstring} AND p.valid && a.valid
), hourly AS (
    SELECT p.name, u.hour, sum(u.qty[s.ix] / p.size) AS used
    FROM usage_hour_row u
    JOIN series s USING (set_id)
    JOIN priced p ON p.server_id = u.server_id AND p.meter = s.meter AND p.valid @> u.hour
    WHERE u.server_id = ANY (ARRAY(SELECT server_id FROM priced))
      AND u.hour >= (SELECT min(low) FROM charge) AND u.hour < (SELECT max(as_of) FROM charge)
    GROUP BY 1, 2
)
SELECT hour + interval '1 hour' AS time, name AS metric,
       sum(hourly.used) OVER (PARTITION BY name ORDER BY hour) AS value
FROM hourly JOIN charge USING (name)
UNION ALL
SELECT at, name || ' included', included FROM charge, LATERAL (VALUES (low), (high)) AS t (at)
UNION ALL
SELECT at, name || ' forecast', value
FROM charge, LATERAL (VALUES (as_of, used), (high, ends)) AS t (at, value)
WHERE as_of < high
ORDER BY 1, 2

-- Each charge so far: what was used and included in its billing unit, what it comes to at this rate by the end of
-- the period, when the allowance ends at this rate, and the net amount now.
SELECT item_id AS item, charge, unit, round(used / unit_size, 3) AS used,
       round(nullif(included, 0) / unit_size, 3) AS included,
       round(used / unit_size * length / past, 3) AS "at this rate",
       CASE WHEN used < included AND used * length > included * past
           THEN extract(epoch FROM began + past * (included / used) * interval '1 second') * 1000
       END AS "allowance ends",
       net, currency, extract(epoch FROM as_of) * 1000 AS "as of"
FROM (
    SELECT *, extract(epoch FROM least(period_end, upper(valid)) - began) AS length,
           greatest(extract(epoch FROM as_of - began), 3600) AS past
    FROM account_charge
    JOIN item USING (item_id)
    CROSS JOIN LATERAL greatest(period_start, lower(valid)) AS began
    WHERE account_id = ${account:sqlstring} AND period_start = nullif(${period:sqlstring}, '')::timestamptz
) c
ORDER BY net DESC, item_id, charge
LIMIT 200

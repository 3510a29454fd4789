-- What the customer was told about this period, the newest first.
SELECT extract(epoch FROM created_at) * 1000 AS time, threshold, kind,
       CASE WHEN delivered_at IS NOT NULL THEN 'delivered'
            WHEN failed IS NOT NULL THEN 'given up: ' || failed
            ELSE 'trying' || coalesce(': ' || last_error, '') END AS state,
       attempts, extract(epoch FROM delivered_at - sampled_at) AS "reading to delivery"
FROM alert_outbox
WHERE account_id = ${account:sqlstring} AND period_start = nullif(${period:sqlstring}, '')::timestamptz
ORDER BY created_at DESC, threshold
LIMIT 50

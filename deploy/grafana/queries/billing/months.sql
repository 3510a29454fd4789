-- Net revenue by month of service and currency; the running months as they stand now, marked as open.
SELECT to_char(i.period_start AT TIME ZONE c.timezone, 'YYYY-MM') AS month, i.currency AS metric, sum(i.net) AS value
FROM invoice i JOIN account c USING (account_id)
GROUP BY 1, 2
UNION ALL
SELECT to_char(a.period_start AT TIME ZONE c.timezone, 'YYYY-MM'), a.currency || ', open', sum(a.net)
FROM account_charge a JOIN account c USING (account_id)
WHERE NOT EXISTS (
    SELECT FROM scope_seal z WHERE z.scope_id = a.scope_id AND z.period_start = a.period_start
)
GROUP BY 1, 2
ORDER BY 1, 2

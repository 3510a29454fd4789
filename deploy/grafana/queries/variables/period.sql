SELECT DISTINCT to_char(a.period_start AT TIME ZONE c.timezone, 'YYYY-MM') AS __text,
       to_char(a.period_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS __value
FROM accrual a JOIN rating_scope s USING (scope_id) JOIN account c USING (account_id)
WHERE c.account_id = ${account:sqlstring}
ORDER BY 2 DESC

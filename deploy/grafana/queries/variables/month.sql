SELECT DISTINCT to_char(x.period_start AT TIME ZONE c.timezone, 'YYYY-MM')
FROM (
    SELECT scope_id, period_start, period_end FROM accrual
    UNION ALL
    SELECT scope_id, period_start, period_end FROM scope_seal
) x
JOIN rating_scope s USING (scope_id)
JOIN account c USING (account_id)
WHERE x.period_end <= $__timeTo()
ORDER BY 1 DESC

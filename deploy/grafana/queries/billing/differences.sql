-- Figures that reconciliation found to differ, as long as no later close found them equal.
SELECT o.account_id AS account, d->>'what' AS comparison, d->>'where' AS "where", d->>'left' AS "one",
       d->>'right' AS "other"
FROM close_outcome o JOIN account c USING (account_id)
CROSS JOIN LATERAL jsonb_array_elements(o.differences) AS d
WHERE to_char(o.period_start AT TIME ZONE c.timezone, 'YYYY-MM') = ${month:sqlstring}
ORDER BY 1, 2, 3
LIMIT 200

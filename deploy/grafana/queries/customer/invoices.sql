-- The account's invoices, the newest first.
SELECT i.number, to_char(i.period_start AT TIME ZONE c.timezone, 'YYYY-MM') AS period, i.net, i.tax, i.gross,
       i.currency, extract(epoch FROM i.issued_at) * 1000 AS issued
FROM invoice i JOIN account c USING (account_id)
WHERE i.account_id = ${account:sqlstring}
ORDER BY i.period_start DESC, i.number DESC
LIMIT 24

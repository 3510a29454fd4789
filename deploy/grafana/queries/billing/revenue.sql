-- Net revenue of the month by charge: the charge is the third part of a line's key, counted from its end.
SELECT split_part(l.line_key, '/', -3) || ', ' || i.currency AS charge, sum(l.net) AS net
FROM invoice i JOIN account c USING (account_id) JOIN invoice_line l USING (invoice_id)
WHERE to_char(i.period_start AT TIME ZONE c.timezone, 'YYYY-MM') = ${month:sqlstring}
GROUP BY 1
ORDER BY 2 DESC, 1

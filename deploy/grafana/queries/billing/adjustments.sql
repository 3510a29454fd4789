-- Usage that came for a sealed period after its invoice was cut: it will be an adjustment.
WITH sealed AS MATERIALIZED (
    SELECT z.scope_id, z.period_start, z.period_end, v.account_id, v.number, v.invoice_id
    FROM scope_seal z JOIN invoice v USING (invoice_id) JOIN account c USING (account_id)
    WHERE to_char(z.period_start AT TIME ZONE c.timezone, 'YYYY-MM') = ${month:sqlstring}
), late AS MATERIALIZED (
    SELECT z.account_id, z.number, z.invoice_id, l.*
    FROM sealed z
    JOIN item i USING (scope_id)
    JOIN assignment a USING (item_id)
    JOIN usage_late l ON l.server_id = a.server_id AND l.window_start >= z.period_start
        AND l.window_start < z.period_end AND a.valid @> l.window_start
)
SELECT l.account_id AS account, l.number AS invoice, l.server_id AS server, s.meter,
       sum(l.qty[s.ix]) AS quantity, count(DISTINCT l.window_start) AS windows
FROM late l
JOIN invoice_cut k ON k.invoice_id = l.invoice_id AND k.part = l.part AND l.ckpt_offset > k.next_offset
JOIN series s USING (set_id)
WHERE l.qty[s.ix] <> 0
GROUP BY 1, 2, 3, 4
ORDER BY 1, 3, 4
LIMIT 200

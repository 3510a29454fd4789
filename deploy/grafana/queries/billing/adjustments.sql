-- Usage that came for a sealed period after its invoice was cut: it will be an adjustment.
SELECT s.account_id AS account, v.number AS invoice, l.server_id AS server, q.meter,
       sum(q.quantity) AS quantity, count(DISTINCT l.window_start) AS windows
FROM usage_late l
JOIN assignment a ON a.server_id = l.server_id AND a.valid @> l.window_start
JOIN item i USING (item_id)
JOIN rating_scope s USING (scope_id)
JOIN scope_seal z ON z.scope_id = s.scope_id AND l.window_start >= z.period_start
    AND l.window_start < z.period_end
JOIN account c USING (account_id)
JOIN invoice v USING (invoice_id)
JOIN invoice_cut k ON k.invoice_id = v.invoice_id AND k.part = l.part
JOIN series_set t USING (set_id)
CROSS JOIN LATERAL unnest(t.meter, l.qty) AS q (meter, quantity)
WHERE l.ckpt_offset > k.next_offset AND q.quantity <> 0
  AND to_char(z.period_start AT TIME ZONE c.timezone, 'YYYY-MM') = ${month:sqlstring}
GROUP BY 1, 2, 3, 4
ORDER BY 1, 3, 4
LIMIT 200

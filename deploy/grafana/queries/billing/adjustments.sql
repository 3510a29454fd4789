-- Usage that came for a sealed period after its invoice was cut and that no correction has billed: the next close looks.
WITH sealed AS MATERIALIZED (
    SELECT z.scope_id, z.period_start, z.period_end, v.account_id, v.number, v.invoice_id
    FROM scope_seal z JOIN invoice v USING (invoice_id) JOIN account c USING (account_id)
    WHERE to_char(z.period_start AT TIME ZONE c.timezone, 'YYYY-MM') = ${month:sqlstring}
), late AS MATERIALIZED (
    SELECT z.account_id, z.number, z.invoice_id, z.scope_id, z.period_start,
           t.topic_id, l.ckpt_offset & ((1::bigint << 40) - 1) AS "offset", l.*
    FROM sealed z
    JOIN item i USING (scope_id)
    JOIN assignment a USING (item_id)
    JOIN usage_late l ON l.server_id = a.server_id AND l.window_start >= z.period_start
        AND l.window_start < z.period_end AND a.valid @> l.window_start
    JOIN ingest_topic t ON t.number = l.ckpt_offset >> 40
)
SELECT l.account_id AS account, l.number AS invoice, l.server_id AS server, s.meter,
       sum(l.qty[s.ix]) AS quantity, count(DISTINCT l.window_start) AS windows
FROM late l
JOIN series s USING (set_id)
WHERE l.qty[s.ix] <> 0 AND NOT EXISTS (
    SELECT FROM invoice_cut k
    WHERE k.topic_id = l.topic_id AND k.part = l.part AND k.next_offset >= l."offset"
      AND (k.invoice_id = l.invoice_id OR k.invoice_id IN (
          SELECT j.invoice_id FROM adjustment j
          WHERE (j.scope_id, j.period_start) = (l.scope_id, l.period_start))))
GROUP BY 1, 2, 3, 4
ORDER BY 1, 3, 4
LIMIT 200

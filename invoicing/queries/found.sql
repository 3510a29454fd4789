-- Sealed periods for which usage came since: late entries that no look has noted yet and that lie above the invoice's
-- cut, and servers that have reported since their open window was counted.
WITH mark AS (
    SELECT o.topic_id, o.part, t.number::bigint << %(bits)s AS base, coalesce(m.next_offset, 0) AS low, o.next_offset AS high
    FROM ingest_offset o
    JOIN ingest_topic t USING (topic_id)
    LEFT JOIN adjust_mark m USING (topic_id, part)
), late AS (
    SELECT DISTINCT m.topic_id, l.part, l.server_id, l.window_start, l.ckpt_offset - m.base AS "offset"
    FROM mark m
    JOIN usage_late l
      ON l.part = m.part AND l.ckpt_offset > m.base + m.low AND l.ckpt_offset <= m.base + m.high
), found AS (
    SELECT z.scope_id, z.period_start
    FROM late l
    JOIN assignment a
      ON a.server_id = l.server_id AND a.valid && tstzrange(l.window_start, l.window_start + %(width)s)
    JOIN item i USING (item_id)
    JOIN scope_seal z
      ON z.scope_id = i.scope_id AND z.period_start <= l.window_start AND l.window_start < z.period_end
    LEFT JOIN invoice_cut c
      ON c.invoice_id = z.invoice_id AND c.topic_id = l.topic_id AND c.part = l.part
    WHERE c.next_offset IS NULL OR l."offset" > c.next_offset
    UNION
    SELECT o.scope_id, o.period_start
    FROM seal_open o
    JOIN server_state s ON s.server_id = o.server_id AND s.at_ms > o.at_ms
    WHERE o.look = (SELECT coalesce(max(a.look), 0) FROM adjustment a
                    WHERE (a.scope_id, a.period_start) = (o.scope_id, o.period_start))
      AND NOT EXISTS (SELECT FROM adjust_due d
                      WHERE (d.scope_id, d.period_start, d.why) = (o.scope_id, o.period_start, 'usage'))
)
SELECT scope_id, period_start FROM found

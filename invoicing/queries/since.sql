-- What a seal's snapshot did not see and no sweep will look at again: late entries above its cut that are here by now.
WITH upto (part, number, at) AS (
    SELECT c.part, t.number, max((t.number::bigint << %(bits)s) + c.next_offset)
    FROM unnest(%(cut_topics)s::uuid[], %(cut_parts)s::int[], %(cut_offsets)s::bigint[]) AS c (topic_id, part, next_offset)
    JOIN ingest_topic t USING (topic_id) GROUP BY 1, 2
)
INSERT INTO adjust_due (scope_id, period_start, why)
SELECT DISTINCT z.scope_id, z.period_start, 'usage'
FROM scope_seal z
JOIN item i USING (scope_id)
JOIN assignment a USING (item_id)
JOIN usage_late l
  ON l.server_id = a.server_id AND l.window_start >= z.period_start AND l.window_start < z.period_end
 AND a.valid && tstzrange(l.window_start, l.window_start + %(width)s)
LEFT JOIN upto c ON c.part = l.part AND c.number = l.ckpt_offset >> %(bits)s
WHERE z.scope_id = ANY(%(scopes)s) AND z.period_start = %(start)s AND (c.at IS NULL OR l.ckpt_offset > c.at)

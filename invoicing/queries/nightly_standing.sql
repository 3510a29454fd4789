-- Servers that were metered on a day: where their reports lie in the newest archived topic, up to where that is
-- metered and archived, and on which reports their rows of the day rest. Rows of another topic rest on what is not there.
WITH topic AS (
    SELECT topic_id, number FROM ingest_topic WHERE topic_id IN (SELECT topic_id FROM archive_span)
    ORDER BY number DESC LIMIT 1
), metered AS (
    SELECT server_id, part, ckpt_offset FROM usage_window
    WHERE server_id = ANY(%(servers)s) AND window_start >= %(low)s AND window_start < %(high)s
    UNION ALL
    SELECT server_id, part, ckpt_offset FROM usage_late
    WHERE server_id = ANY(%(servers)s) AND window_start >= %(low)s AND window_start < %(high)s
    UNION ALL
    SELECT s.server_id, s.part, (t.number::bigint << %(bits)s) + o.next_offset
    FROM server_state s CROSS JOIN topic t JOIN ingest_offset o ON o.topic_id = t.topic_id AND o.part = s.part
    WHERE s.server_id = ANY(%(servers)s)
      AND s.win_ms >= extract(epoch FROM %(low)s::timestamptz) * 1000
      AND s.win_ms < extract(epoch FROM %(high)s::timestamptz) * 1000
)
SELECT m.server_id, t.topic_id, m.part, o.next_offset,
       coalesce((SELECT max(a.next_offset) FROM archive_span a WHERE a.topic_id = t.topic_id AND a.part = m.part), 0),
       max(CASE WHEN m.ckpt_offset >> %(bits)s = t.number THEN m.ckpt_offset - (t.number::bigint << %(bits)s)
                ELSE 2::bigint ^ 62 END)::bigint,
       coalesce((SELECT min(k.valid_from_ms) FROM agent_key k WHERE k.server_id = m.server_id), 0)
FROM metered m CROSS JOIN topic t
JOIN ingest_offset o ON o.topic_id = t.topic_id AND o.part = m.part
GROUP BY m.server_id, t.topic_id, m.part, o.next_offset ORDER BY 1

-- The newest refused reports; `rackmeter dlq show` has the whole of one.
SELECT append_ms AS appended, reason, detail,
       t.name || '/' || d.part || '/' || d."offset" AS letter, retried_ms AS retried
FROM dead_letter d JOIN ingest_topic t USING (topic_id)
WHERE append_ms >= ${__from} AND append_ms < ${__to}
ORDER BY append_ms DESC, d.part, d."offset" DESC
LIMIT 50

-- How far each partition is in the ledger. Complete: everything appended before that is counted.
SELECT t.name AS topic, o.part AS partition, o.next_offset AS "next offset", o.append_ms AS complete,
       extract(epoch FROM least($__timeTo()::timestamptz, now())) - o.append_ms / 1000.0 AS behind,
       coalesce((o.counts->>'accepted')::bigint, 0) AS accepted,
       (SELECT coalesce(sum(n.value::bigint), 0) FROM jsonb_each_text(o.counts) n
        WHERE n.key NOT IN ('accepted', 'duplicate', 'late', 'samples')) AS refused
FROM ingest_offset o JOIN ingest_topic t USING (topic_id)
ORDER BY t.first_seen DESC, o.part

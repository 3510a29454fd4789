-- Rented servers that were not read for 15 minutes, the longest first. Never: no report was ever accepted.
WITH clock AS (
    SELECT least($__timeTo()::timestamptz, now()) AS at
)
SELECT a.server_id AS server, r.account_id AS account, a.item_id AS item,
       s.at_ms AS "last reading", extract(epoch FROM at - to_timestamp(s.at_ms / 1000.0)) AS "silent for",
       s.flagged AS flags
FROM clock
CROSS JOIN assignment a
JOIN item i USING (item_id)
JOIN rating_scope r USING (scope_id)
LEFT JOIN server_state s ON s.server_id = a.server_id
WHERE a.valid @> at
  AND (s.at_ms IS NULL OR to_timestamp(s.at_ms / 1000.0) < at - interval '15 minutes')
ORDER BY s.at_ms NULLS FIRST, a.server_id
LIMIT 100
